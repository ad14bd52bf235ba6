package dev.polka.distill;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.Divergence;
import dev.polka.kernel.DivergenceResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.Rows;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AdaptiveKlTest {
  private static final AdaptiveKl ADAPTIVE = new AdaptiveKl(0.4, 1);

  /** The tail of at most 0.4 is the last column. */
  private static final double[] TEACHER = logs(0.5, 0.3, 0.2);

  private static double[] logs(double... p) {
    return Arrays.stream(p).map(Math::log).toArray();
  }

  @Test
  void theForwardKlWeighsAsMuchAsTheHeadDiffers() {
    // |0.3 - 0.5| + |0.4 - 0.3| of 0.3 + |0.3 - 0.2|
    assertThat(ADAPTIVE.forwardWeight(logs(0.3, 0.4, 0.3), TEACHER)).isCloseTo(0.75, within(1e-12));
    assertThat(ADAPTIVE.forwardWeight(logs(0.4, 0.3, 0.3), TEACHER)).isCloseTo(0.5, within(1e-12));
    assertThat(ADAPTIVE.forwardWeight(logs(0.2, 0.6, 0.2), TEACHER)).isCloseTo(1, within(1e-12));
  }

  @Test
  void aTailOfNothingLeavesTheForwardKl() {
    assertThat(new AdaptiveKl(0, 1).forwardWeight(logs(0.1, 0.1, 0.8), TEACHER)).isOne();
  }

  @Test
  void aTailOfAllLeavesTheReverseKl() {
    assertThat(new AdaptiveKl(1, 1).forwardWeight(new double[] {1, 2}, new double[] {0, 0}))
        .isZero();
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 1000, -30, 0.1})
  void aStudentThatIsTheTeacherHasHalfOfEach(double shift) {
    double[] shifted = Arrays.stream(TEACHER).map(z -> z + shift).toArray();

    assertThat(ADAPTIVE.forwardWeight(shifted, TEACHER)).isEqualTo(0.5);
  }

  @Test
  void amongEqualColumnsTheFirstAreTheTail() {
    double[] even = {0, 0, 0, 0};
    // Tail: one column, the first.
    AdaptiveKl quarter = new AdaptiveKl(0.3, 1);

    assertThat(quarter.forwardWeight(logs(0.25, 0.5, 0.125, 0.125), even))
        .isCloseTo(1, within(1e-12));
    assertThat(quarter.forwardWeight(logs(0.5, 0.125, 0.125, 0.25), even))
        .isCloseTo(0.5, within(1e-12));
  }

  @Test
  void columnsAtMinusInfinityHaveNoProbability() {
    double none = Double.NEGATIVE_INFINITY;

    assertThat(ADAPTIVE.forwardWeight(new double[] {0, none, 0}, new double[] {0, none, none}))
        .isCloseTo(0.5, within(1e-12));
  }

  @Test
  void theTemperatureHoldsForBoth() {
    double[] student = logs(0.3, 0.4, 0.3);
    double[] doubled = Arrays.stream(student).map(z -> 2 * z).toArray();
    double[] teacher = Arrays.stream(TEACHER).map(z -> 2 * z).toArray();

    assertThat(new AdaptiveKl(0.4, 2).forwardWeight(doubled, teacher))
        .isCloseTo(0.75, within(1e-12));
  }

  @Test
  void theWeightsOfARowThatCountsSumToOne() {
    TokenLayout layout = TokenLayout.ofLengths(2, 1).withMask(true, false, true);
    double[][] student = {logs(0.3, 0.4, 0.3), null, TEACHER};
    double[][] teacher = {TEACHER, {Double.NaN}, TEACHER};

    double[] forward = ADAPTIVE.forwardWeights(layout, student, teacher);

    assertThat(forward).containsExactly(new double[] {0.75, 0, 0.5}, within(1e-12));
    assertThat(AdaptiveKl.reverseWeights(layout, forward))
        .containsExactly(new double[] {0.25, 0, 0.5}, within(1e-12));
  }

  @Test
  void theWeightsGoToTheRowsOfTwoDivergences() {
    TokenLayout layout = TokenLayout.ofLengths(2).withMask(true, false);
    double[] student = logs(0.3, 0.4, 0.3);
    double[] forward =
        ADAPTIVE.forwardWeights(
            layout, new double[][] {student, null}, new double[][] {TEACHER, null});
    double expected = 0;
    for (int v = 0; v < 3; v++) {
      double p = Math.exp(student[v]);
      double q = Math.exp(TEACHER[v]);
      expected += (0.75 * q - 0.25 * p) * Math.log(q / p);
    }

    assertThat(
            loss(Divergence.forwardKl(), student, forward)
                + loss(Divergence.reverseKl(), student, AdaptiveKl.reverseWeights(layout, forward)))
        .isCloseTo(expected, within(1e-6));
  }

  private static double loss(Divergence divergence, double[] student, double[] weights) {
    try (Matrix studentLogits = twoRows(student);
        Matrix teacherLogits = twoRows(TEACHER);
        Floats rowWeights = Floats.copyOf((float) weights[0], (float) weights[1]);
        DivergenceResult result =
            divergence.forward(
                studentLogits,
                teacherLogits,
                Rows.all().withWeight(rowWeights),
                Normalizer.none())) {
      return result.loss();
    }
  }

  private static Matrix twoRows(double[] row) {
    float[] twice = new float[2 * row.length];
    for (int i = 0; i < twice.length; i++) {
      twice[i] = (float) row[i % row.length];
    }
    return Matrix.copyOf(DType.F32, 2, row.length, twice);
  }

  @Test
  void aBatchWithoutTokensGivesZeros() {
    TokenLayout masked = TokenLayout.ofLengths(1).withMask(false);

    assertThat(ADAPTIVE.forwardWeights(masked, new double[1][], new double[1][]))
        .containsExactly(0);
    assertThat(AdaptiveKl.reverseWeights(masked, Double.NaN)).containsExactly(0);
    assertThat(ADAPTIVE.forwardWeights(TokenLayout.ofLengths(), new double[0][], new double[0][]))
        .isEmpty();
  }

  @Test
  void badInputIsNamed() {
    assertThatThrownBy(() -> ADAPTIVE.forwardWeight(new double[2], TEACHER))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("teacher: has 3 columns, the student 2");
    assertThatThrownBy(() -> ADAPTIVE.forwardWeight(new double[] {0, Double.NaN, 0}, TEACHER))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("student: NaN at column 1 is neither finite nor -Infinity");
    assertThatThrownBy(() -> ADAPTIVE.forwardWeight(logs(0, 0, 0), TEACHER))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("student: none of the 3 columns is above -Infinity");
    assertThatThrownBy(() -> new AdaptiveKl(1.5, 1)).hasMessage("tailMass: 1.5 is outside [0, 1]");
    assertThatThrownBy(() -> new AdaptiveKl(0.5, 0))
        .hasMessage("temperature: 0.0 is not finite and > 0");
  }
}
