package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.FiniteDifference;
import dev.polka.reference.Noise;
import dev.polka.reference.Storage;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ValueLossTest {
  private static final int ROWS = 40;
  private static final Longs OFFSETS = Longs.copyOf(0, 7, 7, 40);
  private static final Longs COUNTS = Longs.copyOf(6, 0, 28);
  private static final boolean[] MASK = Noise.of(3).booleans(ROWS, 0.8);
  private static final double[] VALUES = Storage.widen(Noise.of(4).normals(ROWS, 2));
  private static final double[] OLD = Storage.widen(Noise.of(5).normals(ROWS, 2));
  private static final double[] RETURNS = Storage.widen(Noise.of(6).normals(ROWS, 2));

  /** The definition, in f64. */
  private static double loss(double clip, double delta, double[] values) {
    double loss = 0;
    for (int t = 0; t < ROWS; t++) {
      double free = error(values[t] - RETURNS[t], delta);
      double near = OLD[t] + Math.max(-clip, Math.min(clip, values[t] - OLD[t]));
      double term = clip == 0 ? free : Math.max(free, error(near - RETURNS[t], delta));
      loss += MASK[t] ? term / 2 / (t < 7 ? 6 : 28) : 0;
    }
    return loss;
  }

  private static double error(double e, double delta) {
    return delta > 0 && Math.abs(e) > delta ? delta * (Math.abs(e) - delta / 2) : e * e / 2;
  }

  static Stream<Arguments> losses() {
    return Stream.of(
        Arguments.of(ValueLoss.squared(), 0, 0),
        Arguments.of(ValueLoss.squared().withClip(0.5f), 0.5, 0),
        Arguments.of(ValueLoss.huber(1.5f), 0, 1.5),
        Arguments.of(ValueLoss.huber(1.5f).withClip(0.5f), 0.5, 1.5));
  }

  @ParameterizedTest
  @MethodSource("losses")
  void lossAndGradientAreThoseOfTheDefinition(ValueLoss operation, double clip, double delta) {
    try (Floats values = Floats.copyOf(Storage.toF32(VALUES));
        ValueLossResult result =
            operation.forwardBackward(values, batch(), Normalizer.sequences(2, COUNTS))) {
      Accuracy.assertWithin("loss", result.loss(), loss(clip, delta, VALUES), 1e-12);
      double[] expected = FiniteDifference.gradient(x -> loss(clip, delta, x), VALUES, 1e-4);
      float[] actual = result.gradient().toArray();
      for (int t = 0; t < ROWS; t++) {
        Accuracy.assertWithin("row " + t, actual[t], expected[t], 1e-7);
      }
    }
  }

  private static ValueBatch batch() {
    return ValueBatch.of(Floats.copyOf(Storage.toF32(RETURNS)), OFFSETS)
        .withOld(Floats.copyOf(Storage.toF32(OLD)))
        .withMask(Bytes.copyOf(MASK));
  }

  @Test
  void theGradientScaleLeavesTheLossAlone() {
    try (Floats values = Floats.copyOf(1);
        ValueLossResult result =
            ValueLoss.squared()
                .withGradientScale(8)
                .forwardBackward(
                    values,
                    ValueBatch.of(Floats.copyOf(0), Longs.copyOf(0, 1)),
                    Normalizer.tokens(1))) {
      assertThat(result.loss()).isEqualTo(0.5);
      assertThat(result.gradient().get(0)).isEqualTo(8);
    }
  }

  @Test
  void theExplainedVarianceOfMicroBatchesIsThatOfAll() {
    try (Floats values = Floats.copyOf(1, 2, 3, 5);
        Floats returns = Floats.copyOf(1, 3, 2, 6)) {
      ValueLossMetrics all = metrics(values, returns);
      ValueLossMetrics left = metrics(values.slice(0, 1), returns.slice(0, 1));
      ValueLossMetrics right = metrics(values.slice(1, 3), returns.slice(1, 3));

      assertThat(all.explainedVariance()).isCloseTo(1 - 2.75 / 14, Offset.offset(1e-15));
      assertThat(left.plus(right).explainedVariance())
          .isCloseTo(all.explainedVariance(), Offset.offset(1e-15));
      assertThat(left.plus(right).valueMean()).isEqualTo(2.75);
      assertThat(left.explainedVariance()).isNaN();
      assertThat(metrics(values.slice(0, 0), returns.slice(0, 0)).plus(all)).isEqualTo(all);
    }
  }

  private static ValueLossMetrics metrics(Floats values, Floats returns) {
    try (Longs offsets = Longs.copyOf(0, values.size());
        ValueLossResult result =
            ValueLoss.squared()
                .forward(values, ValueBatch.of(returns, offsets), Normalizer.none())) {
      return result.metrics();
    }
  }

  @Test
  void whatIsNotFiniteShowsOrIsSkipped() {
    try (Floats values = Floats.copyOf(1, Float.NaN);
        Longs offsets = Longs.copyOf(0, 2)) {
      ValueBatch batch = ValueBatch.of(Floats.copyOf(0, 0), offsets);
      try (ValueLossResult shown =
              ValueLoss.squared().forwardBackward(values, batch, Normalizer.none());
          ValueLossResult skipped =
              ValueLoss.squared()
                  .withSkipNonFinite()
                  .forwardBackward(values, batch, Normalizer.none())) {
        assertThat(shown.loss()).isNaN();
        assertThat(shown.gradient().toArray()).containsExactly(1, Float.NaN);
        assertThat(skipped.loss()).isEqualTo(0.5);
        assertThat(skipped.gradient().toArray()).containsExactly(1, 0);
        assertThat(skipped.metrics().firstNonFiniteRow()).isEqualTo(1);
      }
    }
  }

  @Test
  void whatIsMissingOrOutOfRangeIsNamed() {
    try (Floats values = Floats.copyOf(1)) {
      ValueBatch batch = ValueBatch.of(values, Longs.copyOf(0, 1));
      ValueLoss clipped = ValueLoss.squared().withClip(0.2f);
      assertThatThrownBy(() -> clipped.forward(values, batch, Normalizer.none()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("old: values are missing, which the clip needs; add them by withOld");
      assertThatThrownBy(() -> ValueLoss.huber(0))
          .hasMessage("huberDelta: 0.0 is not finite and > 0");
      assertThatThrownBy(
              () ->
                  ValueLoss.squared()
                      .forward(
                          values, ValueBatch.of(values, Longs.copyOf(0, 2)), Normalizer.none()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("offsets: ends at 2, must end at 1");
    }
    assertThat(ValueLoss.huber(2).withClip(0.5f)).hasToString("Huber 2.0, clip 0.5");
  }
}
