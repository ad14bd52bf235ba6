package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.Accuracy;
import dev.polka.reference.FiniteDifference;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTopkDivergence;
import dev.polka.reference.Storage;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Every output of top-K divergences against the f64 reference. */
class TopkDivergenceAccuracyTest {
  static Stream<Arguments> kindsTailsAndTypes() {
    return DivergenceAccuracyTest.kinds()
        .flatMap(
            kind ->
                Stream.of(Tail.values())
                    .flatMap(
                        tail ->
                            Stream.of(Storage.values())
                                .map(storage -> Arguments.of(kind, tail, storage))));
  }

  /** Student logits, and the K columns that the teacher finds most probable. */
  private record Row(Logits student, long[] ids, float[] logProb) {
    static Row of(Storage storage, int cols, int k, double scale) {
      Logits student = Logits.normal(storage, 1, cols, scale, 0, 31);
      Logits teacher = student.with(noisy(student.values(), scale / 2));
      ReferenceDistribution q =
          ReferenceDistribution.of(teacher.values(), ReferenceSoftmax.PLAIN, -1);
      Integer[] order = new Integer[cols];
      Arrays.setAll(order, j -> j);
      Arrays.sort(order, (a, b) -> Float.compare(teacher.get(0, b), teacher.get(0, a)));
      long[] ids = new long[k];
      float[] logProb = new float[k];
      for (int i = 0; i < k; i++) {
        ids[i] = order[i];
        logProb[i] = (float) q.logProbability(order[i]);
      }
      return new Row(student, ids, logProb);
    }

    private static float[] noisy(float[] values, double scale) {
      float[] moved = values.clone();
      for (int j = 0; j < moved.length; j++) {
        moved[j] += (float) (scale * Noise.of(32).normal(j));
      }
      return moved;
    }
  }

  private static TopkDivergence operation(
      ReferenceDivergence kind, Tail tail, ReferenceSoftmax softmax) {
    Logits any = Logits.normal(1, 2, 1);
    return TopkDivergence.of(DivergenceCase.of(kind, any, any, softmax).operation()).withTail(tail);
  }

  private static void check(
      ReferenceDivergence kind, Tail tail, Row row, ReferenceSoftmax softmax, boolean gradient) {
    ReferenceTopkDivergence reference =
        new ReferenceTopkDivergence(kind, ReferenceTopkDivergence.Tail.valueOf(tail.name()));
    ReferenceDistribution p = ReferenceDistribution.of(row.student.values(), softmax, -1);
    int cols = row.student.cols();
    double value = reference.value(p, row.ids, row.logProb);
    try (Matrix student = row.student.matrix();
        TopkDivergenceResult r =
            operation(kind, tail, softmax)
                .forwardBackward(
                    student,
                    TopkTeacher.of(
                        Longs.copyOf(row.ids), Floats.copyOf(row.logProb), row.ids.length),
                    Rows.all(),
                    Normalizer.none())) {
      Accuracy.assertEntropies("value", cols, r.value().toArray(), new double[] {value});
      Accuracy.assertEntropies(
          "entropy", cols, r.studentEntropy().toArray(), new double[] {p.entropy()});
      Accuracy.assertLogProbs("lse", r.studentLse().toArray(), new double[] {p.lse()});
      double mass = ReferenceTopkDivergence.studentMass(p, row.ids);
      Accuracy.assertProbabilities(
          "student_mass", 1, r.studentMass().toArray(), new double[] {mass});
      double given = ReferenceTopkDivergence.teacherMass(row.logProb);
      Accuracy.assertProbabilities(
          "teacher_mass", 1, r.teacherMass().toArray(), new double[] {given});
      assertThat(r.overlap().get(0)).isEqualTo((float) ReferenceTopkDivergence.overlap(p, row.ids));
      if (gradient) {
        double[] expected =
            FiniteDifference.gradient(
                z ->
                    reference.value(ReferenceDistribution.of(z, softmax, -1), row.ids, row.logProb),
                Storage.widen(row.student.values()),
                1e-4);
        double scale = Math.max(Math.max(1, Math.log(cols)), Math.abs(value));
        float[] actual = r.gradient().toArray();
        for (int j = 0; j < cols; j++) {
          double bound =
              8 * Accuracy.EPS * scale / softmax.temperature()
                  + row.student.storage().halfUlp(expected[j]);
          Accuracy.assertWithin("gradient " + j, actual[j], expected[j], bound);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kindsTailsAndTypes")
  void valuesAndGradientsMeetTheReference(ReferenceDivergence kind, Tail tail, Storage storage) {
    for (int k : new int[] {1, 7, 64}) {
      check(kind, tail, Row.of(storage, 97, k, 1), ReferenceSoftmax.PLAIN, true);
    }
    Row row = Row.of(storage, 97, 7, 1);
    check(kind, tail, row, ReferenceSoftmax.at(2).withSoftcap(5), true);
    check(kind, tail, row, ReferenceSoftmax.at(0.7f), true);
  }

  @ParameterizedTest
  @MethodSource("kindsTailsAndTypes")
  void largeVocabulariesMeetTheReference(ReferenceDivergence kind, Tail tail, Storage storage) {
    check(kind, tail, Row.of(storage, 9001, 512, 1), ReferenceSoftmax.PLAIN, false);
    check(kind, tail, Row.of(storage, 50257, 20, 2), ReferenceSoftmax.PLAIN, false);
  }

  @ParameterizedTest
  @EnumSource(Tail.class)
  void forwardKlHasItsExactGradientOverTheWholeVocabulary(Tail tail) {
    Row row = Row.of(Storage.F32, 9001, 100, 2);
    ReferenceDistribution p =
        ReferenceDistribution.of(row.student.values(), ReferenceSoftmax.PLAIN, -1);
    double studentMass = ReferenceTopkDivergence.studentMass(p, row.ids);
    double teacherMass = ReferenceTopkDivergence.teacherMass(row.logProb);
    double[] expected = new double[9001];
    for (int j = 0; j < expected.length; j++) {
      // Columns outside the entries share the mass that the teacher gives them all together.
      double share = (1 - teacherMass) / (1 - studentMass);
      expected[j] =
          switch (tail) {
            case NONE -> teacherMass * p.probability(j);
            case BUCKET -> p.probability(j) * (1 - share);
            case RENORMALIZED -> 0;
          };
    }
    for (int k = 0; k < row.ids.length; k++) {
      double probability = p.probability((int) row.ids[k]);
      double q = Math.exp(row.logProb[k]);
      expected[(int) row.ids[k]] =
          switch (tail) {
            case NONE -> teacherMass * probability - q;
            case BUCKET -> probability - q;
            case RENORMALIZED -> probability / studentMass - q / teacherMass;
          };
    }
    try (Matrix student = row.student.matrix();
        TopkDivergenceResult r =
            TopkDivergence.forwardKl()
                .withTail(tail)
                .forwardBackwardInPlace(
                    student,
                    TopkTeacher.of(Longs.copyOf(row.ids), Floats.copyOf(row.logProb), 100),
                    Rows.all(),
                    Normalizer.none())) {
      float[] actual = r.gradient().toArray();
      for (int j = 0; j < expected.length; j++) {
        Accuracy.assertWithin("column " + j, actual[j], expected[j], 4 * Accuracy.EPS);
      }
    }
  }

  /** A tail of 1e-9 of the student's mass, where the teacher has a tenth of its own. */
  @Test
  void aTinyTailKeepsItsDigits() {
    float[] values = new float[5000];
    values[17] = 30;
    values[4321] = 29;
    Logits student = Logits.of(Storage.F32, 1, 5000, values);
    Row row = new Row(student, new long[] {4321, 17}, new float[] {-1, -0.6f});
    for (ReferenceDivergence kind : DivergenceAccuracyTest.kinds().limit(7).toList()) {
      check(kind, Tail.BUCKET, row, ReferenceSoftmax.PLAIN, false);
    }
  }
}
