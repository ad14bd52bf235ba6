package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MicroBatchTest {
  private final List<Sequence> batch = Batches.sequences(40);

  @ParameterizedTest
  @ValueSource(ints = {1, 16, 60, 4096})
  void rowsAreTheResponseTokensAndNoPartIsTooLarge(int maxTokens) {
    int rows = 0;
    for (MicroBatch part : MicroBatch.cut(batch, maxTokens)) {
      rows += part.rows();
      assertThat(part.size() == 1 || part.layout().bodyTokens() <= maxTokens).isTrue();
      assertThat(part.targetTensor().shape()).containsExactly(part.rows(), 1);
      part.close();
    }
    assertThat(rows).isEqualTo(batch.stream().mapToInt(s -> s.response().length).sum());
  }

  @Test
  void neighboursInLengthShareAPartSoThatLittleIsPadded() {
    long body = 0;
    long padded = 0;
    for (MicroBatch part : MicroBatch.cut(batch, 60)) {
      body += part.layout().bodyTokens();
      padded += part.layout().paddedTokens();
      part.close();
    }
    assertThat((double) padded / body).isLessThan(0.15);
    MicroBatch whole = MicroBatch.cut(batch, 4096).get(0);
    assertThat((double) whole.layout().paddedTokens() / whole.layout().bodyTokens())
        .isGreaterThan(0.3);
    whole.close();
  }

  @Test
  void everySequenceIsInOnePartWithItsOwnValues() {
    float[] perSequence = Batches.numbers("sequence", batch.size(), 1);
    float[][] perToken = new float[batch.size()][];
    int[] group = new int[batch.size()];
    for (int s = 0; s < batch.size(); s++) {
      perToken[s] = Batches.numbers("token" + s, batch.get(s).response().length, 1);
      group[s] = s % 3;
    }
    List<Integer> seen = new ArrayList<>();
    for (MicroBatch part : MicroBatch.cut(batch, 60)) {
      try (part;
          Floats sequences = part.perSequence(perSequence);
          Floats tokens = part.perToken(perToken);
          Floats chosen = part.chosen(group, 2);
          Longs counts = part.tokenCounts()) {
        int row = 0;
        for (int s = 0; s < part.size(); s++) {
          int member = part.member(row);
          seen.add(member);
          assertThat(sequences.get(s)).isEqualTo(perSequence[member]);
          assertThat(counts.get(s)).isEqualTo(batch.get(member).response().length);
          for (int t = 0; t < part.tokens(s); t++, row++) {
            assertThat(part.member(row)).isEqualTo(member);
            assertThat(tokens.get(row)).isEqualTo(perToken[member][t]);
            assertThat(chosen.get(row)).isEqualTo(member % 3 == 2 ? 1 : 0);
            assertThat(part.layout().targets()[row]).isEqualTo(batch.get(member).response()[t]);
          }
        }
        assertThat(row).isEqualTo(part.rows());
      }
    }
    assertThat(seen).doesNotHaveDuplicates().hasSize(batch.size());
  }

  @Test
  void anEmptyBatchHasNoParts() {
    assertThat(MicroBatch.cut(List.of(), 100)).isEmpty();
  }
}
