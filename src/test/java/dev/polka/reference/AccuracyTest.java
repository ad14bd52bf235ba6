package dev.polka.reference;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class AccuracyTest {
  private static final float[] ONE = {1};

  @Test
  void errorsUpToFourEpsPassAndLargerOnesDoNot() {
    assertThatCode(() -> Accuracy.assertLogProbs("x", ONE, new double[] {1 + 0x1p-21}))
        .doesNotThrowAnyException();
    assertThatThrownBy(() -> Accuracy.assertLogProbs("x", ONE, new double[] {1 + 0x1.1p-21}))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("x[0]");
  }

  @Test
  void theScaleOfAnEntropyIsTheLogarithmOfTheVocabulary() {
    double bound = 0x1p-21 * Math.log(1000);
    assertThatCode(() -> Accuracy.assertEntropies("x", 1000, ONE, new double[] {1 + 0.99 * bound}))
        .doesNotThrowAnyException();
    assertThatThrownBy(
            () -> Accuracy.assertEntropies("x", 1000, ONE, new double[] {1 + 1.01 * bound}))
        .isInstanceOf(AssertionError.class);
  }

  @Test
  void gradientsGetTheUpstreamOverTheTemperatureAndHalfAnUlp() {
    double bound = 0x1p-21 * 3 / 0.5 + 0x1p-8;
    assertThatCode(() -> gradient(1 + 0.99 * bound, 0)).doesNotThrowAnyException();
    assertThatThrownBy(() -> gradient(1 + 1.01 * bound, 0)).isInstanceOf(AssertionError.class);
  }

  @Test
  void aGradientMayBeAsWrongAsLibtorchs() {
    assertThatCode(() -> gradient(1 + 0.85e-2, 0.5e-2)).doesNotThrowAnyException();
    assertThatThrownBy(() -> gradient(1 + 0.85e-2, 0.4e-2)).isInstanceOf(AssertionError.class);
  }

  /** A gradient of 1 in bf16 for an upstream of 3 at temperature 0.5. */
  private static void gradient(double expected, double libtorchError) {
    Accuracy.assertGradients(
        "x",
        Storage.BF16,
        new double[] {3},
        new double[] {0.5},
        new float[][] {ONE},
        new double[][] {{expected}},
        () -> libtorchError);
  }

  @Test
  void nanMeetsOnlyNanAndInfinityOnlyTheSameInfinity() {
    assertThatCode(() -> Accuracy.assertWithin("x", Double.NaN, Double.NaN, 0))
        .doesNotThrowAnyException();
    assertThatThrownBy(() -> Accuracy.assertWithin("x", 1, Double.NaN, 9))
        .isInstanceOf(AssertionError.class);
    assertThatThrownBy(() -> Accuracy.assertWithin("x", Double.NaN, 1, 9))
        .isInstanceOf(AssertionError.class);
    assertThatThrownBy(
            () -> Accuracy.assertWithin("x", Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, 9))
        .isInstanceOf(AssertionError.class);
  }

  @Test
  void aMissingValueIsAnError() {
    assertThatThrownBy(() -> Accuracy.assertLogProbs("x", ONE, new double[] {1, 2}))
        .isInstanceOf(AssertionError.class);
  }
}
