package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Bytes;
import dev.polka.memory.Longs;
import org.junit.jupiter.api.Test;

class TokenLayoutTest {
  @Test
  void aPaddedBatchCountsTheFirstRowsOfEachSequence() {
    TokenLayout layout = TokenLayout.padded(3, 2, 0, 3);

    assertThat(layout.rows()).isEqualTo(9);
    assertThat(layout.sequences()).isEqualTo(3);
    assertThat(layout.tokenCounts()).containsExactly(2, 0, 3);
    assertThat(layout.tokens()).isEqualTo(5);
    assertThat(layout.spread(1, 2, 3)).containsExactly(1, 1, 0, 0, 0, 0, 3, 3, 3);
  }

  @Test
  void sumsAndMeansDoNotReadWhatDoesNotCount() {
    TokenLayout layout = TokenLayout.ofLengths(3, 1, 0).withMask(true, false, true, false);

    assertThat(layout.sums(1, Double.NaN, 4, Double.NaN)).containsExactly(5, 0, 0);
    assertThat(layout.means(1, Double.NaN, 4, Double.NaN)).containsExactly(2.5, 0, 0);
  }

  @Test
  void keepingOnlyTakesAway() {
    TokenLayout layout = TokenLayout.ofLengths(3).withMask(true, false, true);

    assertThat(layout.keeping(false, true, true).tokenCounts()).containsExactly(1);
  }

  @Test
  void offsetsAndMaskAreThoseOfTheKernels() {
    TokenLayout layout = TokenLayout.padded(2, 1, 2);
    try (Longs offsets = layout.offsets();
        Bytes mask = layout.mask()) {
      assertThat(offsets.toArray()).containsExactly(0, 2, 4);
      assertThat(mask.toArray()).containsExactly(1, 0, 1, 1);
    }
  }

  @Test
  void badShapesAreNamed() {
    assertThatThrownBy(() -> TokenLayout.ofOffsets(0, 3, 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("offsets: entry 2 falls from 3 to 2");
    assertThatThrownBy(() -> TokenLayout.ofOffsets(1, 3))
        .hasMessage("offsets: [1, 3] do not start with 0");
    assertThatThrownBy(() -> TokenLayout.padded(2, 3))
        .hasMessage("lengths: 3 of sequence 0 is not in [0, 2]");
    assertThatThrownBy(() -> TokenLayout.ofLengths(2).sums(1))
        .hasMessage("perRow: has 1 elements, 2 (one per row) are needed");
  }
}
