package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** N7: folding the temperature into the exponent costs no digits at any common offset. */
class N07OffsetsTest {
  static Stream<Arguments> offsets() {
    return DoubleStream.of(0, 20, 100, 1e4, -1e4)
        .boxed()
        .flatMap(o -> Stream.of(0.7f, 1f, 2f).map(t -> Arguments.of(o, t)));
  }

  @ParameterizedTest
  @MethodSource("offsets")
  void logProbMeetsTheBarAtAnyOffset(double offset, float temperature) {
    for (int vocabulary : new int[] {17, 4097, 50257}) {
      Logits logits = Logits.normal(Storage.F32, 3, vocabulary, 4, offset, 31);
      long[] targets = Noise.of(32).indices(3, vocabulary);
      targets[0] = logits.argMax(0);
      LogProbCase c = LogProbCase.of(logits, ReferenceSoftmax.at(temperature), targets);
      c.assertForward();
      c.assertBackward();
    }
  }

  @ParameterizedTest
  @MethodSource("offsets")
  void divergencesMeetTheBarAtAnyOffset(double offset, float temperature) {
    for (ReferenceDivergence kind :
        new ReferenceDivergence[] {
          ReferenceDivergence.forwardKl(),
          ReferenceDivergence.reverseKl(),
          ReferenceDivergence.jsd(0.5)
        }) {
      DivergenceCase.of(
              kind,
              Logits.normal(Storage.F32, 2, 4097, 3, offset, 33),
              Logits.normal(Storage.F32, 2, 4097, 3, -offset, 34),
              ReferenceSoftmax.at(temperature))
          .assertAll();
    }
  }

  @Test
  void aMaskedColumnStaysMaskedUnderASoftcap() {
    Logits logits = Logits.of(Storage.F32, 1, 4, 100, Float.NEGATIVE_INFINITY, -100, 50);
    LogProbCase c = LogProbCase.of(logits, ReferenceSoftmax.at(0.5f).withSoftcap(3), 0);
    c.assertForward();
    c.assertBackward();
    assertThat(c.backward(new float[] {1}, new float[] {1}, new float[] {1})[1]).isZero();
    LogProbCase target = LogProbCase.of(logits, ReferenceSoftmax.at(0.5f).withSoftcap(3), 1);
    assertThat(target.forward().logProb()[0]).isEqualTo(Float.NEGATIVE_INFINITY);
  }

  @Test
  void softcapMeetsTheBarFarIntoItsFlatPart() {
    for (float cap : new float[] {1, 5, 30, 50}) {
      Logits logits = Logits.normal(Storage.F32, 4, 2000, 40, 0, 35);
      LogProbCase c =
          LogProbCase.of(
              logits, ReferenceSoftmax.at(0.7f).withSoftcap(cap), Noise.of(36).indices(4, 2000));
      c.assertForward();
      c.assertBackward();
    }
  }
}
