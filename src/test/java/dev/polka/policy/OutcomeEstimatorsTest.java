package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.EpsilonPlacement;
import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Doubles;
import org.junit.jupiter.api.Test;

/** Estimators with one advantage per sequence, by hand. */
class OutcomeEstimatorsTest {
  private static final TokenLayout ONE_EACH = TokenLayout.ofLengths(1, 1, 1, 1);

  private static RewardBatch pairs(double... rewards) {
    return RewardBatch.of(ONE_EACH, rewards).withGroups(Groups.ofSize(2));
  }

  @Test
  void anAdvantageIsThatOfEveryTokenThatCounts() {
    TokenLayout layout = TokenLayout.ofLengths(3, 2).withMask(true, false, true, true, true);
    RewardBatch batch = RewardBatch.of(layout, 1, 5).withGroups(Groups.ofSize(2));

    assertThat(OutcomeAdvantage.of(GroupAdvantage.drGrpo()).forward(batch).perRow())
        .containsExactly(-2, 0, -2, 2, 2);
  }

  @Test
  void rewardsOfTokensBelongToTheOutcome() {
    RewardBatch batch = pairs(1, 5, 0, 0).withTokenRewards(-1, -3, 2, 0);

    assertThat(OutcomeAdvantage.of(GroupAdvantage.drGrpo()).perSequence(batch))
        .containsExactly(-1, 1, 1, -1);
  }

  @Test
  void opoWeighsByTokensThatCountUnlessThereAreWeights() {
    TokenLayout layout = TokenLayout.ofLengths(3, 3).withMask(true, false, false, true, true, true);
    OutcomeAdvantage opo = OutcomeAdvantage.of(GroupAdvantage.opo());
    RewardBatch batch = RewardBatch.of(layout, 0, 4);

    assertThat(opo.perSequence(batch.withGroups(Groups.ofSize(2)))).containsExactly(-3, 1);
    Groups weighted = Groups.ofSize(2).withWeights(Doubles.copyOf(1, 1));
    assertThat(opo.perSequence(batch.withGroups(weighted))).containsExactly(-2, 2);
  }

  @Test
  void theBatchStandardDeviationIsThatOfAllOutcomes() {
    OutcomeAdvantage grpo =
        OutcomeAdvantage.of(GroupAdvantage.grpo().withEpsilon(0, EpsilonPlacement.OUTSIDE));
    double std = Math.sqrt((9 + 1 + 1 + 9) / 3.0);

    assertThat(grpo.withBatchStd().perSequence(pairs(-3, -1, 1, 3)))
        .containsExactly(-1 / std, 1 / std, -1 / std, 1 / std);
    assertThatThrownBy(() -> OutcomeAdvantage.raw().withBatchStd())
        .isInstanceOf(IllegalStateException.class);
  }

  @Test
  void whiteningOverSequencesCountsEachOnce() {
    TokenLayout layout = TokenLayout.ofLengths(9, 1, 1, 1);
    RewardBatch batch = RewardBatch.of(layout, 3, 1, 0, Double.NaN);
    Whitening exact = Whitening.biased().withEpsilon(0, EpsilonPlacement.IN_SQRT);
    OutcomeAdvantage white = OutcomeAdvantage.raw().withSequenceWhitening(exact);
    // 3, 1, 0: mean 4 / 3, squares 42 / 9
    double std = Math.sqrt(42 / 27.0);

    assertThat(white.perSequence(batch)[0]).isCloseTo((5 / 3.0) / std, within(1e-14));
    assertThat(white.perSequence(batch)[3]).isZero();
    assertThat(
            OutcomeAdvantage.raw()
                .withSequenceWhitening(exact, new Moments(10, 1, 40))
                .perSequence(batch))
        .containsExactly(1, 0, -0.5, 0);
  }

  @Test
  void answersWithoutARewardDoNotEnterTheWhitening() {
    Whitening exact = Whitening.biased().withEpsilon(0, EpsilonPlacement.IN_SQRT);
    OutcomeAdvantage white =
        OutcomeAdvantage.of(GroupAdvantage.drGrpo()).withSequenceWhitening(exact);
    double std = Math.sqrt(2 / 3.0);

    // -1, 1 and 0 for the one that is alone
    assertThat(white.perSequence(pairs(0, 2, Double.NaN, 5)))
        .containsExactly(-1 / std, 1 / std, 0, 0);
  }

  @Test
  void rawOutcomesNeedNoGroups() {
    assertThat(OutcomeAdvantage.raw().perSequence(RewardBatch.of(ONE_EACH, 1, -2, Double.NaN, 0)))
        .containsExactly(1, -2, 0, 0);
  }

  @Test
  void gpgScalesBySparsity() {
    assertThat(Gpg.standard().forward(pairs(0, 1, 0, 0)).perRow()).containsExactly(-2, 2, 0, 0);
    assertThat(Gpg.standard().withNorm(4).forward(pairs(0, 1, 0, 0)).perRow())
        .containsExactly(-0.5, 0.5, 0, 0);
    assertThat(Gpg.standard().withCounts(10, 5).forward(pairs(0, 1, 0, 0)).perRow())
        .containsExactly(-1, 1, 0, 0);
    assertThatThrownBy(() -> Gpg.standard().withCounts(2, 3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("rewarded: 3 is outside [0, 2]");
    assertThatThrownBy(() -> Gpg.standard().withNorm(0))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void reinforcePlusPlusBaselineWhitensOverTokens() {
    TokenLayout layout = TokenLayout.ofLengths(3, 1);
    RewardBatch batch = RewardBatch.of(layout, 1, 0).withGroups(Groups.ofSize(2));
    double[] actual = ReinforcePlusPlusBaseline.standard().forward(batch).perRow();
    // 0.5, 0.5, 0.5, -0.5: mean 0.25, squares 0.75
    double root = Math.sqrt(0.25 + 1e-8);

    assertThat(actual).containsExactly(0.25 / root, 0.25 / root, 0.25 / root, -0.75 / root);
  }

  @Test
  void gdpoKeepsARewardThatAnotherWouldDrown() {
    double[] large = {1000, 0, 0, 1000};
    double[] small = {0, 0.001, 0, 0.001};
    RewardBatch batch =
        RewardBatch.ofComponents(ONE_EACH, large, small).withGroups(Groups.ofSize(2));
    GroupAdvantage exact = GroupAdvantage.grpo().withEpsilon(0, EpsilonPlacement.OUTSIDE);
    double half = Math.sqrt(0.5);
    double[] sums = Gdpo.of(1, 1).withGroup(exact).sums(batch);

    assertThat(sums[0]).isCloseTo(0, within(1e-12));
    assertThat(sums[2]).isCloseTo(-2 * half, within(1e-12));
    assertThat(Gdpo.of(1, 3).withGroup(exact).sums(batch)[0]).isCloseTo(-2 * half, within(1e-12));
  }

  @Test
  void gdpoWhitensOverSequences() {
    TokenLayout layout = TokenLayout.ofLengths(5, 1, 1, 1);
    RewardBatch batch =
        RewardBatch.ofComponents(layout, new double[] {3, 1, 0, 0}).withGroups(Groups.ofSize(2));
    Gdpo gdpo = Gdpo.of(1).withGroup(GroupAdvantage.drGrpo());
    // 1, -1, 0, 0 over sequences
    double std = Math.sqrt(2 / 3.0) + 1e-4;

    assertThat(gdpo.forward(batch).perRow()[0]).isEqualTo(1 / std);
    assertThat(gdpo.withoutWhitening().forward(batch).perRow()[0]).isEqualTo(1);
    assertThat(
            gdpo.withSequenceWhitening(Whitening.biased().withVarianceFloor(4))
                .forward(batch)
                .perRow()[0])
        .isEqualTo(0.5);
  }

  @Test
  void gdpoCountsWithTheComponentsThatThereAre() {
    double nan = Double.NaN;
    RewardBatch batch =
        RewardBatch.ofComponents(
                ONE_EACH, new double[] {3, 1, nan, 2}, new double[] {nan, 1, nan, 5})
            .withGroups(Groups.ofSize(2));
    double[] sums = Gdpo.of(1, 1).withGroup(GroupAdvantage.drGrpo()).sums(batch);

    assertThat(sums).containsExactly(1, -1, nan, 0);
    assertThat(Gdpo.of(1, 1).forward(batch).perRow()[2]).isZero();
  }

  @Test
  void gdpoNeedsAWeightForEachComponent() {
    RewardBatch batch =
        RewardBatch.ofComponents(ONE_EACH, new double[] {3, 1, 0, 2}).withGroups(Groups.ofSize(2));

    assertThatThrownBy(() -> Gdpo.of(1, 1).forward(batch))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("weights: are 2 for 1 components");
    assertThatThrownBy(() -> Gdpo.of(1, Double.NaN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("weights[1]: NaN is not finite");
  }

  @Test
  void advantagesOfOnesOwnAreZeroWhereRowsDoNotCount() {
    TokenLayout layout = TokenLayout.ofLengths(2).withMask(true, false);
    Advantages own = Advantages.of(layout, 3, Double.NaN);

    assertThat(own.perRow()).containsExactly(3, 0);
    try (var floats = own.floats()) {
      assertThat(floats.toArray()).containsExactly(3, 0);
    }
    assertThatThrownBy(own::returns).isInstanceOf(IllegalStateException.class);
  }
}
