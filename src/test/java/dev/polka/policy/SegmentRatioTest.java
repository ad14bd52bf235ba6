package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.TokenBatch;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import org.junit.jupiter.api.Test;

class SegmentRatioTest {
  /** A prompt row, two tokens, a tool's row, one token; then no token at all; then two tokens. */
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(5, 1, 2).withMask(false, true, true, false, true, false, true, true);

  @Test
  void rowsThatDoNotCountSeparateSegments() {
    SegmentRatio segments = SegmentRatio.of(LAYOUT);

    assertThat(segments.layout().offsets().toArray()).containsExactly(0, 4, 5, 6, 8);
    assertThat(segments.layout().tokenCounts()).containsExactly(2, 1, 0, 2);
    assertThat(segments.perSegment(10, 20, 30)).containsExactly(10, 10, 20, 30);
    assertThat(segments.tokenCounts()).containsExactly(3, 3, 0, 2);
    assertThat(segments.sequenceOf(1)).isZero();
  }

  @Test
  void startsThatAreGivenSeparateThemToo() {
    boolean[] starts = new boolean[8];
    starts[2] = true;
    starts[3] = true; // does not count
    starts[7] = true;

    SegmentRatio segments = SegmentRatio.of(LAYOUT, starts);

    assertThat(segments.layout().offsets().toArray()).containsExactly(0, 2, 4, 5, 6, 7, 8);
    assertThat(segments.layout().tokenCounts()).containsExactly(1, 1, 1, 0, 1, 1);
  }

  @Test
  void eachSegmentHasTheRatioOfItsOwnMeanAndTheWeightOfItsSequence() {
    SegmentRatio segments = SegmentRatio.of(LAYOUT);
    try (Floats logProb = Floats.copyOf(0, -1, -1, 0, -1, 0, -1, -1);
        Floats old = Floats.copyOf(0, -1.25f, -1.5f, 0, -0.5f, 0, -1, -1);
        Floats advantages = Floats.copyOf(segments.perSegment(1, 1, 2));
        Longs tokens = Longs.copyOf(segments.tokenCounts())) {
      TokenBatch batch =
          TokenBatch.ofOffsets(segments.layout().offsets())
              .withMask(segments.layout().mask())
              .withOld(old)
              .withSequenceAdvantages(advantages);

      LossResult result =
          PolicyLoss.gspo()
              .withoutClip()
              .forwardBackward(logProb, null, batch, Normalizer.sequences(2, tokens));

      float first = (float) -Math.exp(0.375) / 6;
      float second = (float) -Math.exp(-0.5) / 6;
      assertThat(result.logProbGradient().toArray())
          .containsExactly(
              new float[] {0, first, first, 0, second, 0, -0.5f, -0.5f},
              org.assertj.core.data.Offset.offset(1e-7f));
      result.close();
    }
  }
}
