package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.TokenLayout;
import dev.polka.policy.Rejection.Scope;
import dev.polka.reference.Noise;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class OffPolicyInputTest {
  private static final OffPolicyCorrection NONE = OffPolicyCorrection.none();

  @Test
  void badInputIsNamed() {
    assertThatThrownBy(
            () -> NONE.apply(TokenLayout.ofLengths(2), new double[] {0, Double.NaN}, new double[2]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("old: row 1 is NaN, not a log-prob");
    assertThatThrownBy(
            () ->
                NONE.apply(
                    TokenLayout.ofLengths(1),
                    new double[1],
                    new double[] {Double.NEGATIVE_INFINITY}))
        .hasMessage("rollout: row 0 is -Infinity, but it was sampled");
    assertThatThrownBy(() -> NONE.withVeto(2, 1)).hasMessage("veto: [2.0, 1.0] is empty");
    assertThatThrownBy(() -> Rejection.ofRatio(Scope.SEQUENCE_MAX, 0, 1))
        .hasMessage("scope: SEQUENCE_MAX tests an estimate, not a ratio");
    assertThatThrownBy(() -> ImportanceWeight.truncatedTokens(Double.NaN))
        .hasMessage("weight: [0.0, NaN] is empty");
    assertThatThrownBy(() -> NONE.withSecondMoment(0))
        .hasMessage("secondMoment: 0.0 is not finite and > 0");
  }

  /** Every step but the second moment and the normalisation, on any batch cut anywhere. */
  @Test
  void theOtherSequencesOfABatchChangeNothing() {
    OffPolicyCorrection correction =
        NONE.withVeto(0.05, 20)
            .withRejection(Rejection.ofRatio(Scope.TOKEN, 0.2, 4))
            .withRejection(Rejection.above(KlEstimator.K3, Scope.SEQUENCE_MEAN, 1))
            .withSequenceMask(0.2)
            .withWeights(ImportanceWeight.truncatedSequences(3));
    Noise noise = Noise.of(11);
    long[] lengths = {4, 0, 1, 7, 3, 5, 6, 2};
    TokenLayout layout = TokenLayout.ofLengths(lengths).withMask(noise.stream(1).booleans(28, 0.8));
    double[] rollout = noise.stream(2).doubles(28, -3, -0.1);
    double[] old = noise.stream(3).doubles(28, -3, -0.1);
    double[] advantages = noise.stream(4).doubles(8, -1, 1);
    Correction whole = correction.apply(layout, old, rollout, advantages);
    assertThat(whole.kept().tokens()).isBetween(1, layout.tokens() - 1);

    for (int b = 0; b < lengths.length; b++) {
      int first = layout.first(b);
      int end = layout.end(b);
      boolean[] mask = new boolean[end - first];
      for (int row = 0; row < mask.length; row++) {
        mask[row] = layout.counts(first + row);
      }
      Correction alone =
          correction.apply(
              TokenLayout.ofLengths(lengths[b]).withMask(mask),
              Arrays.copyOfRange(old, first, end),
              Arrays.copyOfRange(rollout, first, end),
              advantages[b]);
      assertThat(alone.weights()).isEqualTo(Arrays.copyOfRange(whole.weights(), first, end));
    }
  }
}
