package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import org.junit.jupiter.api.Test;

class DivergenceTest {
  private static final double LN2 = Math.log(2);
  private static final double LN3 = Math.log(3);

  /** Student (1/2, 1/2), teacher (1/4, 3/4), twice. */
  private static Matrix student() {
    return Matrix.copyOf(DType.F32, 2, 2, 1, 1, 2, 2);
  }

  private static Matrix teacher() {
    return Matrix.copyOf(DType.F32, 2, 2, 0, (float) LN3, 0, (float) LN3);
  }

  private static double value(Divergence operation) {
    try (Matrix student = student();
        Matrix teacher = teacher();
        DivergenceResult r =
            operation.forward(student, teacher, Rows.all(), Normalizer.tokens(2))) {
      assertThat(r.value().get(0)).isEqualTo(r.value().get(1));
      assertThat(r.loss()).isCloseTo(r.value().get(0), within(1e-9));
      return r.loss();
    }
  }

  @Test
  void theThreeDivergencesHaveTheirValues() {
    double forward = 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5);
    double reverse = 0.5 * Math.log(2) + 0.5 * Math.log(2 / 3.0);
    double m0 = 0.4375;
    double m1 = 0.5625; // beta 1/4
    double toTeacher = 0.25 * Math.log(0.25 / m0) + 0.75 * Math.log(0.75 / m1);
    double toStudent = 0.5 * Math.log(0.5 / m0) + 0.5 * Math.log(0.5 / m1);

    assertThat(value(Divergence.forwardKl())).isCloseTo(forward, within(1e-6));
    assertThat(value(Divergence.reverseKl())).isCloseTo(reverse, within(1e-6));
    assertThat(value(Divergence.jsd(0.25f)))
        .isCloseTo(0.25 * toTeacher + 0.75 * toStudent, within(1e-6));
  }

  @Test
  void theGradientOfForwardKlIsStudentMinusTeacher() {
    Divergence operation = Divergence.forwardKl().withGradientScale(2);
    try (Matrix student = student();
        Matrix teacher = teacher();
        DivergenceResult r =
            operation.forwardBackward(student, teacher, Rows.all(), Normalizer.tokens(2))) {
      assertThat(r.gradient().toArray())
          .containsExactly(new float[] {0.25f, -0.25f, 0.25f, -0.25f}, within(1e-6f));
      assertThat(r.target()).isEqualTo(Backend.target());

      try (DivergenceResult inPlace =
          operation.forwardBackwardInPlace(student, teacher, Rows.all(), Normalizer.tokens(2))) {
        assertThat(inPlace.gradient()).isSameAs(student);
        assertThat(student.toArray()).containsExactly(r.gradient().toArray());
      }
    }
  }

  @Test
  void theSideOutputsAreThoseOfTheTwoDistributions() {
    try (Matrix student = student();
        Matrix teacher = teacher();
        DivergenceResult r =
            Divergence.reverseKl().forward(student, teacher, Rows.all(), Normalizer.none())) {
      assertThat(r.studentEntropy().get(0)).isCloseTo((float) LN2, within(1e-6f));
      assertThat(r.studentLse().get(1)).isCloseTo((float) (2 + LN2), within(1e-6f));
      assertThat(r.teacherLse().get(1)).isCloseTo((float) Math.log(4), within(1e-6f));
    }
  }

  @Test
  void rowsAreMaskedAndWeighed() {
    Rows rows =
        Rows.all().withMask(Bytes.copyOf(true, false)).withWeight(Floats.copyOf(3, Float.NaN));
    double forward = 0.75 * Math.log(1.5) + 0.25 * Math.log(0.5);
    try (Matrix student = student();
        Matrix teacher = teacher();
        DivergenceResult r =
            Divergence.forwardKl().forwardBackward(student, teacher, rows, Normalizer.none())) {
      assertThat(r.loss()).isCloseTo(3 * forward, within(1e-6));
      assertThat(r.value().get(1)).isZero();
      assertThat(r.gradient().get(0, 0)).isCloseTo(0.75f, within(1e-6f));
      assertThat(r.gradient().get(1, 0)).isZero();
    }
  }

  @Test
  void theTeacherCanHaveATemperatureOfItsOwn() {
    Divergence operation = Divergence.forwardKl().withTeacherTemperature(0.5f).withTemperature(7);

    // Teacher (1/10, 9/10) against (1/2, 1/2).
    assertThat(value(operation)).isCloseTo(0.9 * Math.log(1.8) + 0.1 * Math.log(0.2), within(1e-6));
  }

  @Test
  void resultsGoToTheCallersMemory() {
    try (Matrix student = student();
        Matrix teacher = teacher();
        Matrix gradient = Matrix.allocate(DType.F32, 2, 2);
        DivergenceResult out = DivergenceResult.of(gradient)) {
      Divergence.forwardKl().forwardBackward(student, teacher, Rows.all(), Normalizer.none(), out);
      assertThat(out.gradient()).isSameAs(gradient);
      assertThat(gradient.get(0, 0)).isCloseTo(0.25f, within(1e-6f));

      Divergence.forwardKl().forward(student, teacher, Rows.all(), Normalizer.none(), out);
      assertThatThrownBy(out::gradient).isInstanceOf(IllegalStateException.class);
    }
  }

  @Test
  void shapesMustAgree() {
    try (Matrix student = student();
        Matrix teacher = Matrix.allocate(DType.F32, 2, 3)) {
      assertThatThrownBy(
              () -> Divergence.forwardKl().forward(student, teacher, Rows.all(), Normalizer.none()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage(
              "teacher: is [2, 3], the logits are [2, 2]; withValidVocab names the columns that are"
                  + " tokens, withCommonPrefix renormalises on those of both");
    }
  }

  @Test
  void aNormalizerOfSequencesIsRefused() {
    Normalizer normalizer = Normalizer.sequences(1, Longs.copyOf(2));
    try (Matrix student = student();
        Matrix teacher = teacher()) {
      assertThatThrownBy(
              () -> Divergence.forwardKl().forward(student, teacher, Rows.all(), normalizer))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("rows know no sequences");
    }
  }

  @Test
  void betaLiesBetweenTheEnds() {
    for (float beta : new float[] {0, 1, -0.1f, Float.NaN}) {
      assertThatThrownBy(() -> Divergence.jsd(beta))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("beta: " + beta);
    }
  }

  @Test
  void aKeepMaskRestrictsBothDistributions() {
    KeepMask firstTwo = KeepMask.copyOf(new boolean[][] {{true, true, false}});
    Divergence operation = Divergence.forwardKl().withKeepMask(firstTwo);
    try (Matrix student = Matrix.copyOf(DType.F32, 1, 3, 1, 1, 5);
        Matrix teacher = Matrix.copyOf(DType.F32, 1, 3, 0, (float) LN3, 9);
        DivergenceResult r =
            operation.forwardBackward(student, teacher, Rows.all(), Normalizer.none())) {
      assertThat(r.loss()).isCloseTo(0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), within(1e-6));
      assertThat(r.gradient().get(0, 0)).isCloseTo(0.25f, within(1e-6f));
      assertThat(r.gradient().get(0, 2)).isZero();
    }
  }

  @Test
  void rowsCanHaveTheirOwnTemperatures() {
    Divergence operation = Divergence.forwardKl().withRowTemperature(Floats.copyOf(1f, 0.5f));
    try (Matrix student = student();
        Matrix teacher = teacher();
        DivergenceResult r = operation.forward(student, teacher, Rows.all(), Normalizer.none())) {
      assertThat(r.value().get(0))
          .isCloseTo((float) (0.75 * Math.log(1.5) + 0.25 * Math.log(0.5)), within(1e-6f));
      assertThat(r.value().get(1))
          .isCloseTo((float) (0.9 * Math.log(1.8) + 0.1 * Math.log(0.2)), within(1e-6f));
    }
  }

  @Test
  void theOtherDivergencesHaveTheirValues() {
    // p = (1/2, 1/2), q = (1/4, 3/4); m = q / 4 + 3 p / 4 = (7/16, 9/16), (5/16, 11/16) the other
    // way.
    assertThat(value(Divergence.skewForwardKl(0.25f)))
        .isCloseTo(0.25 * Math.log(0.25 / 0.4375) + 0.75 * Math.log(0.75 / 0.5625), within(1e-6));
    assertThat(value(Divergence.skewReverseKl(0.25f)))
        .isCloseTo(0.5 * Math.log(0.5 / 0.3125) + 0.5 * Math.log(0.5 / 0.6875), within(1e-6));
    assertThat(value(Divergence.totalVariation())).isCloseTo(0.25, within(1e-6));
    assertThat(value(Divergence.chiSquared())).isCloseTo(1 / 3.0, within(1e-6));
    double overlap = Math.sqrt(0.125) + Math.sqrt(0.375);
    assertThat(value(Divergence.alpha(0.5f))).isCloseTo(4 * (1 - overlap), within(1e-6));
    assertThat(value(Divergence.generalizedKl()))
        .isCloseTo(0.75 * Math.log(1.5) + 0.25 * Math.log(0.5), within(1e-6));
  }

  @Test
  void softTargetsAreTakenAsTheyAre() {
    float half = (float) Math.log(0.5);
    try (Matrix student = Matrix.copyOf(DType.F32, 1, 2, 1, 1);
        Matrix targets = Matrix.copyOf(DType.F32, 1, 2, half, (float) (half + LN3));
        DivergenceResult r =
            Divergence.forwardKl()
                .withTemperature(3)
                .withTeacherLogWeights()
                .forwardBackward(student, targets, Rows.all(), Normalizer.none());
        DivergenceResult generalized =
            Divergence.generalizedKl()
                .withTeacherLogWeights()
                .forward(student, targets, Rows.all(), Normalizer.none())) {
      // q = (1/2, 3/2), p = (1/2, 1/2): 3/2 ln 3, and the gradient is 2 p - q over the temperature.
      assertThat(r.loss()).isCloseTo(1.5 * LN3, within(1e-6));
      assertThat(r.gradient().get(0, 0)).isCloseTo(0.5f / 3, within(1e-6f));
      assertThat(r.teacherLse().get(0)).isCloseTo((float) LN2, within(1e-6f));
      assertThat(generalized.loss()).isCloseTo(1.5 * LN3 - 2 + 1, within(1e-6));
    }
  }

  @Test
  void theTeacherCanGoBeyondItsReference() {
    try (Matrix student = student();
        Matrix teacher = teacher();
        Matrix reference = student();
        DivergenceResult r =
            Divergence.forwardKl()
                .withReference(reference, 2)
                .forward(student, teacher, Rows.all(), Normalizer.none())) {
      // 2 ln 3 apart: (1/10, 9/10) against (1/2, 1/2).
      assertThat(r.value().get(0))
          .isCloseTo((float) (0.9 * Math.log(1.8) + 0.1 * Math.log(0.2)), within(1e-6f));
    }
  }

  @Test
  void aCommonPrefixLeavesTheOtherColumnsWithoutGradient() {
    try (Matrix student = Matrix.copyOf(DType.F32, 1, 3, 1, 1, 7);
        Matrix teacher = Matrix.copyOf(DType.F32, 1, 2, 0, (float) LN3);
        DivergenceResult r =
            Divergence.forwardKl()
                .withCommonPrefix()
                .forwardBackward(student, teacher, Rows.all(), Normalizer.none())) {
      assertThat(r.gradient().toArray())
          .containsExactly(new float[] {0.25f, -0.25f, 0}, within(1e-6f));
    }
  }

  @Test
  void optionsThatContradictEachOtherAreRefused() {
    try (Matrix reference = student()) {
      Divergence measure = Divergence.forwardKl().withTeacherLogWeights();
      assertThatThrownBy(() -> measure.withTeacherTemperature(2))
          .hasMessageContaining("teacherTemperature");
      assertThatThrownBy(() -> measure.withReference(reference, 2))
          .hasMessageContaining("reference");
      assertThatThrownBy(() -> Divergence.forwardKl().withReference(reference, Float.NaN))
          .hasMessageContaining("lambda: NaN");
      for (float alpha : new float[] {0, 1, Float.NaN}) {
        assertThatThrownBy(() -> Divergence.alpha(alpha)).hasMessageContaining("alpha: " + alpha);
      }
      assertThatThrownBy(() -> Divergence.skewForwardKl(1)).hasMessageContaining("beta: 1.0");
      assertThatThrownBy(() -> Divergence.skewReverseKl(0)).hasMessageContaining("beta: 0.0");
    }
  }
}
