package dev.polka.kernel;

import static dev.polka.reference.Storage.widen;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import java.util.Arrays;
import java.util.function.ToDoubleFunction;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class SegmentTest {
  private static float[] perSegment(Segment reduction, Segments segments, float... values) {
    try (Floats in = Floats.copyOf(values);
        SegmentResult r = reduction.forward(in, segments)) {
      return r.perSegment().toArray();
    }
  }

  static Stream<Arguments> reductions() {
    return Stream.of(
        reduction(Segment.sum(), x -> Arrays.stream(x).sum()),
        reduction(Segment.mean(), x -> Arrays.stream(x).sum() / x.length),
        reduction(Segment.meanExp(), SegmentTest::meanExp),
        reduction(Segment.logMeanExp(), x -> Math.log(meanExp(x))),
        reduction(Segment.max(), x -> Arrays.stream(x).max().orElseThrow()));
  }

  private static Arguments reduction(Segment segment, ToDoubleFunction<double[]> reference) {
    return Arguments.of(segment, reference);
  }

  private static double meanExp(double[] x) {
    return DoubleStream.of(x).map(Math::exp).sum() / x.length;
  }

  @ParameterizedTest
  @MethodSource("reductions")
  void everyReductionMatchesItsReference(Segment segment, ToDoubleFunction<double[]> reference) {
    long[] offsets = {0, 1, 3, 10, 80, 500};
    float[] values = Noise.of(9).normals(500, 2);
    float[] actual = perSegment(segment, Segments.of(Longs.copyOf(offsets)), values);
    for (int s = 0; s < actual.length; s++) {
      double[] own = widen(Arrays.copyOfRange(values, (int) offsets[s], (int) offsets[s + 1]));
      Accuracy.assertTerm("segment " + s, actual[s], reference.applyAsDouble(own), 1);
    }
  }

  @Test
  void theResultIsSpreadOverTokensThatCount() {
    Segments segments =
        Segments.of(Longs.copyOf(0, 3, 3, 5))
            .withMask(Bytes.copyOf(true, false, true, true, false));
    try (Floats values = Floats.copyOf(1, Float.NaN, 3, 5, Float.POSITIVE_INFINITY);
        SegmentResult r = Segment.mean().forward(values, segments)) {
      assertThat(r.perSegment().toArray()).containsExactly(2, 0, 5);
      assertThat(r.perToken().toArray()).containsExactly(2, 0, 2, 5, 0);
    }
  }

  @Test
  void aSegmentWithoutTokensHasTheNeutralElement() {
    Segments empty = Segments.of(Longs.copyOf(0, 0));

    assertThat(perSegment(Segment.sum(), empty)).containsExactly(0);
    assertThat(perSegment(Segment.mean(), empty)).containsExactly(0);
    assertThat(perSegment(Segment.meanExp(), empty)).containsExactly(0);
    assertThat(perSegment(Segment.logMeanExp(), empty)).containsExactly(Float.NEGATIVE_INFINITY);
    assertThat(perSegment(Segment.max(), empty)).containsExactly(Float.NEGATIVE_INFINITY);
  }

  @Test
  void theLogOfAMeanOfExponentialsNeverOverflows() {
    Segments one = Segments.of(Longs.copyOf(0, 2));

    assertThat(perSegment(Segment.logMeanExp(), one, 1e30f, 1e30f)).containsExactly(1e30f);
    assertThat(perSegment(Segment.logMeanExp(), one, -3000, -3000)).containsExactly(-3000);
  }

  @Test
  void aNanStaysInItsSegment() {
    Segments two = Segments.of(Longs.copyOf(0, 2, 3));

    assertThat(perSegment(Segment.max(), two, Float.NaN, 2, 3)).containsExactly(Float.NaN, 3);
    assertThat(perSegment(Segment.sum(), two, Float.NaN, 2, 3)).containsExactly(Float.NaN, 3);
  }

  @Test
  void onlyWhatThereIsRoomForIsWritten() {
    Segments segments = Segments.of(Longs.copyOf(0, 2));
    try (Floats values = Floats.copyOf(1, 2);
        Floats perToken = Floats.allocate(2);
        SegmentResult out = SegmentResult.of(null, perToken)) {
      Segment.sum().forward(values, segments, out);

      assertThat(perToken.toArray()).containsExactly(3, 3);
      assertThatThrownBy(out::perSegment).isInstanceOf(IllegalStateException.class);
    }
  }

  @Test
  void segmentsThatDoNotCoverTheValuesAreRefused() {
    assertThatThrownBy(() -> perSegment(Segment.sum(), Segments.of(Longs.copyOf(0, 2)), 1, 2, 3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("offsets: ends at 2, must end at 3");
    assertThatThrownBy(
            () ->
                perSegment(
                    Segment.sum(),
                    Segments.of(Longs.copyOf(0, 2)).withMask(Bytes.copyOf(true)),
                    1,
                    2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("mask: has 1 elements, 2 are needed");
  }
}
