package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.SameBits;
import dev.polka.reference.Storage;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** N1: f32 arithmetic whatever the storage type, one rounding at the end, f64 sums over rows. */
class N01StorageTypesTest {
  private static final int ROWS = 4;
  private static final int COLS = 5000;
  private static final float[] UPSTREAM = {1, -0.5f, 0.25f, 2};
  private static final long[] TARGETS = Noise.of(1).indices(ROWS, COLS);

  private static Logits logits(Storage storage) {
    return Logits.normal(storage, ROWS, COLS, 3, 0, 2);
  }

  private static Logits asF32(Logits logits) {
    return Logits.of(Storage.F32, logits.rows(), logits.cols(), logits.values());
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void sixteenBitLogitsGiveTheBitsOfTheSameValuesInF32(Storage storage) {
    LogProbCase c = LogProbCase.of(logits(storage), PLAIN, TARGETS);
    SameBits.assertSame(c.forward(), c.withLogits(asF32(c.logits())).forward());
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void gradientsAreTheF32OnesRoundedOnceToNearestEven(Storage storage) {
    LogProbCase c = LogProbCase.of(logits(storage), PLAIN, TARGETS);
    float[] inF32 = c.withLogits(asF32(c.logits())).backward(UPSTREAM, UPSTREAM, UPSTREAM);
    SameBits.assertSame(
        "gradient", c.backward(UPSTREAM, UPSTREAM, UPSTREAM), storage.narrow(inF32));
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void gradientsCanBeWrittenInF32(Storage storage) {
    LogProbCase c = LogProbCase.of(logits(storage), PLAIN, TARGETS);
    float[] expected = c.withLogits(asF32(c.logits())).backward(UPSTREAM, null, null);
    try (Matrix matrix = c.logits().matrix();
        LogProbs saved = c.operation().forward(matrix, c.kernelTargets());
        Matrix out = Matrix.allocate(DType.F32, ROWS, COLS)) {
      LogProbGradients upstream = LogProbGradients.of(Floats.copyOf(UPSTREAM));

      c.operation().backward(matrix, c.kernelTargets(), saved, upstream, out);

      assertThat(out.toArray()).isEqualTo(expected);
    }
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void gradientsInPlaceAreTheGradients(Storage storage) {
    LogProbCase c = LogProbCase.of(logits(storage), PLAIN, TARGETS);
    LogProb op = c.operation().withGradientScale(4);
    float[] upstream = {4, -2, 1, 8};
    try (Matrix matrix = c.logits().matrix();
        LogProbs saved = op.forward(matrix, c.kernelTargets())) {
      op.backwardInPlace(
          matrix, c.kernelTargets(), saved, LogProbGradients.of(Floats.copyOf(UPSTREAM)));

      assertThat(matrix.toArray()).isEqualTo(c.backward(upstream, null, null));
    }
  }

  @Test
  void theGradientScaleActsBeforeRounding() {
    Logits uniform = Logits.of(Storage.F16, 1, 60000, new float[60000]);
    LogProbCase c = LogProbCase.of(uniform, PLAIN, 0);
    float[] upstream = {1e-4f};
    try (Matrix matrix = uniform.matrix();
        LogProbs saved = c.operation().forward(matrix, c.kernelTargets());
        Matrix scaled =
            c.operation()
                .withGradientScale(65536)
                .backward(
                    matrix,
                    c.kernelTargets(),
                    saved,
                    LogProbGradients.of(Floats.copyOf(upstream)))) {
      assertThat(c.backward(upstream, null, null)[1]).isZero();
      double expected = -1e-4 / 60000 * 65536;
      Accuracy.assertWithin(
          "scaled gradient",
          scaled.get(0, 1),
          expected,
          Storage.F16.halfUlp(expected) + 4 * Accuracy.EPS * 6.6);
    }
  }

  @Test
  void f16InPlaceWithoutAGradientScaleIsRefused() {
    LogProbCase c = LogProbCase.of(logits(Storage.F16), PLAIN, TARGETS);
    try (Matrix matrix = c.logits().matrix();
        LogProbs saved = c.operation().forward(matrix, c.kernelTargets())) {
      LogProbGradients upstream = LogProbGradients.of(Floats.copyOf(UPSTREAM));
      assertThatThrownBy(
              () -> c.operation().backwardInPlace(matrix, c.kernelTargets(), saved, upstream))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("gradientScale");
      assertThat(matrix.toArray()).isEqualTo(c.logits().values());
    }
  }

  @Test
  void lossesAreSummedInF64() {
    int rows = 20000;
    DivergenceCase c =
        DivergenceCase.of(
            ReferenceDivergence.forwardKl(),
            Logits.normal(rows, 8, 1),
            Logits.normal(rows, 8, 2),
            PLAIN);
    DivergenceCase.Outputs out = c.run();
    double sum = 0;
    for (float value : out.value()) {
      sum += value;
    }
    Accuracy.assertWithin("loss", out.loss(), sum, 1e-12 * sum);
    assertThat((float) out.loss()).isNotEqualTo(f32Sum(out.value()));
  }

  private static float f32Sum(float[] values) {
    float sum = 0;
    for (float value : values) {
      sum += value;
    }
    return sum;
  }

  @Test
  void nanGradientsStayNanInSixteenBits() {
    for (Storage storage : Storage.values()) {
      Logits poisoned = logits(storage).with(1, 7, Float.NaN);
      float[] gradient = LogProbCase.of(poisoned, PLAIN, TARGETS).backward(UPSTREAM, null, null);
      assertThat(Arrays.copyOfRange(gradient, COLS, 2 * COLS)).containsOnly(Float.NaN);
    }
  }
}
