package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Bytes;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import org.junit.jupiter.api.Test;

class TargetsTest {
  private static long[] ids(Targets targets) {
    return ((Longs) targets.ids()).toArray();
  }

  @Test
  void aTargetIsTheNextTokenWhereThatIsLearnedFrom() {
    Longs ids = Longs.copyOf(1, 2, 3, 4, 5, 6);
    Bytes mask = Bytes.copyOf(false, true, true, false, false, true);

    try (Targets targets = Targets.nextToken(ids, 2, 3, mask)) {
      assertThat(ids(targets)).containsExactly(2, 3, -100, -100, 6, -100);
    }
  }

  @Test
  void withoutAMaskOnlyTheLastColumnIsIgnored() {
    try (Targets targets = Targets.nextToken(Longs.copyOf(1, 2, 3, 4), 2, 2, null)) {
      assertThat(ids(targets)).containsExactly(2, -100, 4, -100);
    }
  }

  @Test
  void packedSequencesDoNotLookAcrossTheirEnds() {
    Longs ids = Longs.copyOf(1, 2, 3, 4, 5);

    try (Targets targets = Targets.nextToken(ids, Longs.copyOf(0, 0, 3, 5), null)) {
      assertThat(ids(targets)).containsExactly(2, 3, -100, 5, -100);
    }
  }

  @Test
  void sizesMustAgree() {
    assertThatThrownBy(() -> Targets.nextToken(Longs.copyOf(1, 2, 3), 2, 2, null))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("ids: has 3 elements, 4 are needed");
    assertThatThrownBy(() -> Targets.nextToken(Longs.copyOf(1, 2), 1, 2, Bytes.copyOf(true)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("mask: has 1 elements, 2 are needed");
  }

  @Test
  void aRowCountsUnlessIgnoredOrMasked() {
    Targets targets =
        Targets.of(Ints.copyOf(0, -1, 5))
            .withIgnoreIndex(-1)
            .withMask(Bytes.copyOf(true, true, false));

    assertThat(targets.counts(0)).isTrue();
    assertThat(targets.counts(1)).isFalse();
    assertThat(targets.counts(2)).isFalse();
  }

  @Test
  void closingFreesWhatNextTokenMade() {
    Targets targets = Targets.nextToken(Longs.copyOf(1, 2), 1, 2, null);
    targets.close();

    assertThatThrownBy(() -> targets.counts(0)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void aKeepMaskNeedsItsBytes() {
    assertThatThrownBy(() -> KeepMask.of(Bytes.copyOf(true), 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("rowStride is 0");
    assertThatThrownBy(() -> KeepMask.copyOf(new boolean[][] {{true}, {}}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("keepMask: row 1 has 0 columns, row 0 has 1");
  }
}
