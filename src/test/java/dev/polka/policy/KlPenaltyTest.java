package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class KlPenaltyTest {
  private static final double NAN = Double.NaN;

  /** Three sequences: two tokens and a masked row, none that counts, one token. */
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(3, 1, 1).withMask(true, true, false, false, true);

  private static final double[] KL = {0.5, -1, NAN, NAN, 2};
  private static final KlPenalty PENALTY = new KlPenalty(0.25);

  @Test
  void theScoreStandsAtTheLastTokenThatCounts() {
    assertThat(PENALTY.tokenRewards(LAYOUT, new double[] {3, 7, -1}, KL))
        .containsExactly(-0.125, 3.25, 0, 0, -1.5);
  }

  @Test
  void aSequenceLosesTheSumOfItsKl() {
    assertThat(PENALTY.sequenceRewards(LAYOUT, new double[] {3, 7, -1}, KL))
        .containsExactly(3.125, 7, -1.5);
  }

  @Test
  void aCentredPenaltyMovesNoMean() {
    double[] advantages = {1, 1, NAN, NAN, -2};

    double[] centred = PENALTY.centredAdvantages(LAYOUT, advantages, KL);

    assertThat(centred).containsExactly(1, 1.375, 0, 0, -2.375);
    assertThat(Arrays.stream(centred).sum()).isZero();
  }

  @Test
  void aBatchWithoutTokensGivesZeros() {
    TokenLayout none = TokenLayout.ofLengths(2).withMask(false, false);

    assertThat(PENALTY.centredAdvantages(none, new double[2], new double[] {NAN, NAN}))
        .containsOnly(0);
    assertThat(PENALTY.tokenRewards(none, new double[] {1}, new double[] {NAN, NAN}))
        .containsOnly(0);
  }

  @Test
  void sizesThatDoNotFitAreNamed() {
    assertThatThrownBy(() -> PENALTY.tokenRewards(LAYOUT, new double[2], KL))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("scores: has 2 elements, 3 (one per sequence) are needed");
  }
}
