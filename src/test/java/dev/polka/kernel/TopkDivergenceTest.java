package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import org.junit.jupiter.api.Test;

class TopkDivergenceTest {
  private static final float LN2 = (float) Math.log(2);

  /** Student (1/4, 1/4, 1/2), twice. */
  private static Matrix student() {
    return Matrix.copyOf(DType.F32, 2, 3, 0, 0, LN2, 0, 0, LN2);
  }

  /** Half of the teacher's mass on column 2, a quarter on column 0, in two orders. */
  private static TopkTeacher teacher() {
    return TopkTeacher.of(
        Longs.copyOf(2, 0, 0, 2), Floats.copyOf(-LN2, -2 * LN2, -2 * LN2, -LN2), 2);
  }

  @Test
  void theOrderOfTheEntriesIsFreeAndEqualSidesDifferByNothing() {
    try (Matrix student = student();
        TopkDivergenceResult r =
            TopkDivergence.forwardKl()
                .forwardBackward(student, teacher(), Rows.all(), Normalizer.none())) {
      for (int row = 0; row < 2; row++) {
        assertThat(r.value().get(row)).isBetween(0f, 1e-7f);
        assertThat(r.studentMass().get(row)).isCloseTo(0.75f, within(1e-6f));
        assertThat(r.teacherMass().get(row)).isCloseTo(0.75f, within(1e-6f));
        assertThat(r.studentEntropy().get(row)).isCloseTo(1.5f * LN2, within(1e-6f));
        assertThat(r.studentLse().get(row)).isCloseTo(2 * LN2, within(1e-6f));
        assertThat(r.overlap().get(row)).isOne();
      }
      assertThat(r.gradient().toArray()).containsOnly(new float[6], within(1e-7f));
    }
  }

  @Test
  void theTruncatedSumIsTheEntriesAlone() {
    TopkTeacher one = TopkTeacher.of(Ints.copyOf(2, 1), Floats.copyOf(0, 0), 1);
    Rows rows = Rows.all().withMask(Bytes.copyOf(true, false));
    try (Matrix student = student();
        TopkDivergenceResult r =
            TopkDivergence.forwardKl()
                .withTail(Tail.NONE)
                .forwardBackward(student, one, rows, Normalizer.none())) {
      assertThat(r.loss()).isCloseTo(Math.log(2), within(1e-6));
      assertThat(r.gradient().toArray())
          .containsExactly(new float[] {0.25f, 0.25f, -0.5f, 0, 0, 0}, within(1e-6f));
      assertThat(r.value().get(1)).isZero();
      assertThat(r.overlap().get(1)).isZero();
    }
  }

  @Test
  void renormalizedSidesKnowNothingOfTheOtherColumns() {
    // (1/3, 2/3) against (1/2, 1/2) on columns 0 and 2.
    TopkTeacher even = TopkTeacher.of(Longs.copyOf(0, 2, 0, 2), Floats.copyOf(-5, -5, 0, 0), 2);
    double expected = 0.5 * Math.log(1.5) + 0.5 * Math.log(0.75);
    try (Matrix student = student();
        TopkDivergenceResult r =
            TopkDivergence.forwardKl()
                .withTail(Tail.RENORMALIZED)
                .forwardBackward(student, even, Rows.all(), Normalizer.none())) {
      assertThat(r.value().get(0)).isCloseTo((float) expected, within(1e-6f));
      assertThat(r.value().get(1)).isCloseTo((float) expected, within(1e-6f));
      assertThat(r.gradient().get(1, 0)).isCloseTo(-1 / 6f, within(1e-6f));
      assertThat(r.gradient().get(1, 1)).isZero();
      assertThat(r.gradient().get(1, 2)).isCloseTo(1 / 6f, within(1e-6f));
    }
  }

  @Test
  void disjointSidesHaveAJensenShannonDivergenceOfLnTwo() {
    float low = Float.NEGATIVE_INFINITY;
    TopkTeacher teacher = TopkTeacher.of(Longs.copyOf(0), Floats.copyOf(0), 1);
    try (Matrix student = Matrix.copyOf(DType.F32, 1, 3, low, 1, 2);
        TopkDivergenceResult r =
            TopkDivergence.jsd(0.5f)
                .forwardBackward(student, teacher, Rows.all(), Normalizer.none());
        TopkDivergenceResult infinite =
            TopkDivergence.forwardKl()
                .forwardBackward(student, teacher, Rows.all(), Normalizer.none())) {
      assertThat(r.value().get(0)).isEqualTo(LN2);
      assertThat(r.overlap().get(0)).isZero();
      assertThat(r.gradient().toArray()).containsOnly(new float[3], within(1e-7f));
      assertThat(infinite.value().get(0)).isEqualTo(Float.POSITIVE_INFINITY);
      assertThat(infinite.gradient().toArray()).containsOnly(0);
    }
  }

  @Test
  void aTeacherThatNamesEveryColumnLeavesNoTail() {
    TopkTeacher all =
        TopkTeacher.of(Longs.copyOf(0, 1, 2), Floats.copyOf(-2 * LN2, -2 * LN2, -LN2 - 1e-6f), 3);
    try (Matrix student = Matrix.copyOf(DType.F32, 1, 3, 0, 0, LN2);
        TopkDivergenceResult r =
            TopkDivergence.forwardKl().forward(student, all, Rows.all(), Normalizer.none())) {
      assertThat(r.value().get(0)).isBetween(0f, 1e-6f);
    }
  }

  @Test
  void aBadRowIsNamedWithItsColumn() {
    Floats half = Floats.copyOf(-1, -1, -1, -1);
    try (Matrix student = student()) {
      assertThatThrownBy(() -> run(student, TopkTeacher.of(Longs.copyOf(0, 1, 2, 2), half, 2)))
          .isInstanceOf(IndexOutOfBoundsException.class)
          .hasMessageContaining("teacherIds: row 1 has 2 twice");
      assertThatThrownBy(() -> run(student, TopkTeacher.of(Ints.copyOf(0, 3, 1, 2), half, 2)))
          .isInstanceOf(IndexOutOfBoundsException.class)
          .hasMessageContaining("teacherIds: row 0 has 3, the vocabulary is [0, 3)");
      assertThatThrownBy(() -> run(student, TopkTeacher.of(Longs.copyOf(0, 1, 2, -1), half, 2)))
          .isInstanceOf(IndexOutOfBoundsException.class)
          .hasMessageContaining("row 1 has -1");
      assertThatThrownBy(() -> run(student, TopkTeacher.of(Longs.copyOf(0, 1, 2), half, 2)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("ids: has 3 elements, 4 are needed");
    }
    for (int entries : new int[] {0, 513}) {
      assertThatThrownBy(() -> TopkTeacher.of(Longs.copyOf(0), half, entries))
          .hasMessage("entries: " + entries + " is not between 1 and 512");
    }
  }

  private static void run(Matrix student, TopkTeacher teacher) {
    TopkDivergence.reverseKl().forward(student, teacher, Rows.all(), Normalizer.none()).close();
  }

  @Test
  void aNanOfTheTeacherIsForItsRowAlone() {
    TopkTeacher broken = TopkTeacher.of(Longs.copyOf(0, 1), Floats.copyOf(Float.NaN, -1), 1);
    try (Matrix student = student();
        TopkDivergenceResult r =
            TopkDivergence.forwardKl()
                .forwardBackward(student, broken, Rows.all(), Normalizer.none())) {
      assertThat(r.value().get(0)).isNaN();
      assertThat(r.gradient().get(0, 1)).isNaN();
      assertThat(r.value().get(1)).isPositive();
      assertThat(r.gradient().get(1, 1)).isFinite();
    }
  }

  @Test
  void optionsOfATeacherOfWholeRowsAreRefused() {
    assertThatThrownBy(() -> TopkDivergence.of(Divergence.forwardKl().withTeacherTemperature(2)))
        .hasMessageContaining("teacherTemperature");
    assertThatThrownBy(() -> TopkDivergence.of(Divergence.forwardKl().withCommonPrefix()))
        .hasMessageContaining("commonPrefix");
  }
}
