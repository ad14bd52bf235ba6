package dev.polka.distill;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.DivergenceResult;
import dev.polka.kernel.Rows;
import dev.polka.memory.DType;
import dev.polka.memory.Matrix;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** One row: the student has (1/4, 3/4), the teacher (1/2, 1/2). */
class GkdTest {
  private static final double FORWARD = 0.5 * Math.log(2) + 0.5 * Math.log(2 / 3.0);
  private static final double REVERSE = 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5);

  private static double loss(Gkd gkd) {
    try (Matrix student = Matrix.copyOf(DType.F32, 1, 2, 0, (float) Math.log(3));
        Matrix teacher = Matrix.copyOf(DType.F32, 1, 2, 0, 0);
        DivergenceResult result =
            gkd.divergence().forward(student, teacher, Rows.all(), gkd.normalizer(1))) {
      return result.loss();
    }
  }

  @Test
  void betaZeroIsTheForwardKl() {
    assertThat(loss(Gkd.of(0).withTemperature(1))).isCloseTo(FORWARD, within(1e-6));
  }

  @Test
  void betaOneIsTheReverseKl() {
    assertThat(loss(Gkd.of(1).withTemperature(1))).isCloseTo(REVERSE, within(1e-6));
  }

  @Test
  void inBetweenBetaIsTheTeachersShare() {
    // m = 1/4 (1/2, 1/2) + 3/4 (1/4, 3/4) = (5/16, 11/16)
    double teacher = 0.5 * Math.log(8 / 5.0) + 0.5 * Math.log(8 / 11.0);
    double student = 0.25 * Math.log(4 / 5.0) + 0.75 * Math.log(12 / 11.0);

    assertThat(loss(Gkd.of(0.25f).withTemperature(1)))
        .isCloseTo(0.25 * teacher + 0.75 * student, within(1e-6));
  }

  @Test
  void theTemperatureIsThatOfTrlUnlessSet() {
    assertThat(loss(Gkd.of(0))).isEqualTo(loss(Gkd.of(0).withTemperature(0.9f)));
    assertThat(loss(Gkd.of(0))).isNotCloseTo(FORWARD, within(1e-3));
  }

  @Test
  void theSquaredTemperatureMultipliesTheLoss() {
    Gkd plain = Gkd.of(0.5f).withTemperature(2);

    assertThat(loss(plain.withTemperatureSquared())).isCloseTo(4 * loss(plain), within(1e-9));
    assertThat(plain.withTemperatureSquared().normalizer(12).divisor()).isEqualTo(3);
    assertThat(plain.normalizer(12).divisor()).isEqualTo(12);
    assertThat(plain.withTemperatureSquared().normalizer(0).divisor()).isZero();
  }

  @ParameterizedTest
  @CsvSource({"0, 0, false", "1, 0.9999, true", "0.25, 0.2499, true", "0.25, 0.25, false"})
  void aBatchIsTheStudentsOwnBelowTheShare(double share, double draw, boolean own) {
    assertThat(Gkd.of(0.5f).withOnPolicyShare(share).onPolicy(draw)).isEqualTo(own);
  }

  @Test
  void halfOfTheBatchesAreTheStudentsOwnUnlessSet() {
    assertThat(Gkd.of(0.5f).onPolicy(0.49)).isTrue();
    assertThat(Gkd.of(0.5f).onPolicy(0.5)).isFalse();
  }

  @ParameterizedTest
  @ValueSource(floats = {-0.1f, 1.1f, Float.NaN})
  void aBetaOutOfRangeIsNamed(float beta) {
    assertThatThrownBy(() -> Gkd.of(beta))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("beta: ");
  }

  @Test
  void otherOptionsOutOfRangeAreNamed() {
    assertThatThrownBy(() -> Gkd.of(0).withTemperature(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("temperature: 0.0 is not finite");
    assertThatThrownBy(() -> Gkd.of(0).withOnPolicyShare(2))
        .hasMessage("onPolicyShare: 2.0 is outside [0, 1]");
    assertThatThrownBy(() -> Gkd.of(0).onPolicy(1)).hasMessage("draw: 1.0 is not in [0, 1)");
  }
}
