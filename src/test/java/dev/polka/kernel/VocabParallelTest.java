package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import dev.polka.reference.Accuracy;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A vocabulary split into uneven shards gives what the whole one gives. */
class VocabParallelTest {
  private static final int ROWS = 3;
  private static final int COLS = 5003;
  private static final float TEMPERATURE = 0.7f;
  private static final Logits STUDENT = Logits.normal(Storage.F32, ROWS, COLS, 1, 0, 71);
  private static final Logits TEACHER = Logits.normal(Storage.F32, ROWS, COLS, 1, 0, 72);
  private static final Longs TARGETS = Longs.copyOf(0, 4096, 5002);

  private static int[] cuts(int shards) {
    return switch (shards) {
      case 2 -> new int[] {0, 33, COLS};
      case 3 -> new int[] {0, 4097, 4098, COLS};
      default -> new int[] {0, 1, 40, 777, 1234, 4096, 4097, 5000, COLS};
    };
  }

  private static Matrix columns(Matrix m, int from, int to) {
    long skipped = 4L * from;
    return Matrix.ofAddress(
        m.address() + skipped,
        m.span() - skipped,
        m.dtype(),
        MatrixLayout.strided(m.rows(), to - from, m.cols()));
  }

  private static VocabLogProbs merged(Matrix logits, Targets targets, int[] cuts) {
    int shards = cuts.length - 1;
    int words = ROWS * VocabLogProb.STATISTICS;
    Matrix first = columns(logits, 0, cuts[1]);
    VocabLogProbs out = VocabLogProbs.allocate(first);
    try (Floats gathered = Floats.allocate(shards * words)) {
      for (int s = 0; s < shards; s++) {
        VocabLogProb.shard(cuts[s], COLS)
            .withTemperature(TEMPERATURE)
            .statistics(
                columns(logits, cuts[s], cuts[s + 1]),
                targets,
                gathered.slice((long) s * words, words));
      }
      VocabLogProb.shard(0, COLS).withTemperature(TEMPERATURE).merge(first, gathered, shards, out);
    }
    return out;
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 3, 8})
  void logProbsEntropiesAndGradientsOfShardsAreThoseOfTheWhole(int shards) {
    int[] cuts = cuts(shards);
    float[] up = {1, -0.5f, 2};
    LogProbCase whole =
        LogProbCase.of(STUDENT, ReferenceSoftmax.at(TEMPERATURE), TARGETS.toArray());
    float[] expected = whole.backward(up, up, null);
    try (Matrix logits = STUDENT.matrix();
        Matrix gradient = STUDENT.matrix();
        Floats upstream = Floats.copyOf(up);
        VocabLogProbs merged = merged(logits, Targets.of(TARGETS), cuts)) {
      Accuracy.assertLogProbs(
          "log_prob", merged.logProb().toArray(), Storage.widen(whole.forward().logProb()));
      Accuracy.assertLogProbs("lse", merged.lse().toArray(), Storage.widen(whole.forward().lse()));
      Accuracy.assertEntropies(
          "entropy", COLS, merged.entropy().toArray(), Storage.widen(whole.forward().entropy()));
      for (int s = 0; s < shards; s++) {
        Matrix shard = columns(gradient, cuts[s], cuts[s + 1]);
        VocabLogProb.shard(cuts[s], COLS)
            .withTemperature(TEMPERATURE)
            .backward(shard, Targets.of(TARGETS), merged, upstream, upstream, shard);
      }
      float[] actual = gradient.toArray();
      for (int i = 0; i < expected.length; i++) {
        double bound = 16 * Accuracy.EPS / TEMPERATURE;
        Accuracy.assertWithin("element " + i, actual[i], expected[i], bound);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 3, 8})
  void everyDivergenceOfShardsIsThatOfTheWhole(int shards) {
    int[] cuts = cuts(shards);
    int words = ROWS * VocabDivergence.TOTALS;
    for (ReferenceDivergence kind : DivergenceAccuracyTest.kinds().toList()) {
      DivergenceCase c =
          DivergenceCase.of(kind, STUDENT, TEACHER, ReferenceSoftmax.at(TEMPERATURE));
      DivergenceCase.Outputs whole = c.withDivisor(3).run();
      VocabDivergence operation = VocabDivergence.of(c.operation());
      Normalizer normalizer = Normalizer.constant(3);
      try (Matrix student = STUDENT.matrix();
          Matrix teacher = TEACHER.matrix();
          Matrix gradient = STUDENT.matrix();
          VocabLogProbs p = merged(student, null, cuts);
          VocabLogProbs q = merged(teacher, null, cuts);
          Doubles totals = Doubles.allocate(shards * words);
          Doubles merged = Doubles.allocate(words);
          Floats value = Floats.allocate(ROWS);
          Doubles loss = Doubles.allocate(1)) {
        for (int s = 0; s < shards; s++) {
          operation.totals(
              columns(student, cuts[s], cuts[s + 1]),
              columns(teacher, cuts[s], cuts[s + 1]),
              Rows.all(),
              p,
              q,
              totals.slice((long) s * words, words));
        }
        Matrix first = columns(student, 0, cuts[1]);
        operation.merge(first, Rows.all(), normalizer, totals, shards, merged, value, loss);
        for (int s = 0; s < shards; s++) {
          operation.backward(
              columns(student, cuts[s], cuts[s + 1]),
              columns(teacher, cuts[s], cuts[s + 1]),
              Rows.all(),
              normalizer,
              p,
              q,
              merged,
              columns(gradient, cuts[s], cuts[s + 1]));
        }
        Accuracy.assertEntropies("value", COLS, value.toArray(), Storage.widen(whole.value()));
        float[] actual = gradient.toArray();
        double scale = 1;
        for (float v : whole.value()) {
          scale = Math.max(scale, 2 * v);
        }
        for (int i = 0; i < actual.length; i++) {
          double bound = 4 * Accuracy.EPS * scale / TEMPERATURE;
          Accuracy.assertWithin("element " + i, actual[i], whole.gradient()[i], bound);
        }
      }
    }
  }

  @Test
  void aTargetThatNoShardHasIsNamed() {
    try (Matrix logits = STUDENT.matrix()) {
      assertThatThrownBy(() -> merged(logits, Targets.of(TARGETS), new int[] {0, 33, 5000}))
          .isInstanceOf(IndexOutOfBoundsException.class)
          .hasMessageContaining("row 2 has its target in 0 of 2 shards");
    }
    assertThatThrownBy(() -> VocabDivergence.of(Divergence.forwardKl().withTeacherLogWeights()))
        .hasMessageContaining("teacherLogWeights");
  }
}
