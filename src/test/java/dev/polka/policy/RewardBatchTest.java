package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.TokenLayout;
import org.junit.jupiter.api.Test;

class RewardBatchTest {
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(3, 2, 1).withMask(true, true, false, false, true, false);

  @Test
  void theRewardOfASequenceStandsAtItsLastTokenThatCounts() {
    assertThat(RewardBatch.of(LAYOUT, 5, 7, 9).tokenRewards()).containsExactly(0, 5, 0, 0, 7, 0);
  }

  @Test
  void rewardsOfTokensAreAddedToIt() {
    RewardBatch batch =
        RewardBatch.of(LAYOUT, 5, 7, 9).withTokenRewards(-1, -2, Double.NaN, 99, -3, 99);

    assertThat(batch.tokenRewards()).containsExactly(-1, 3, 0, 0, 4, 0);
    assertThat(batch.outcomes()).containsExactly(2, 4, 9);
  }

  @Test
  void componentsAreAddedUpForOtherEstimators() {
    RewardBatch batch =
        RewardBatch.ofComponents(LAYOUT, new double[] {1, 2, 3}, new double[] {10, 20, 30});

    assertThat(batch.outcomes()).containsExactly(11, 22, 33);
  }

  @Test
  void arraysAreCopied() {
    double[] rewards = {1, 2, 3};
    RewardBatch batch = RewardBatch.of(LAYOUT, rewards);
    rewards[0] = 99;

    assertThat(batch.outcomes()).containsExactly(1, 2, 3);
  }

  @Test
  void sizesThatDoNotFitAreRefused() {
    RewardBatch batch = RewardBatch.of(LAYOUT, 1, 2, 3);

    assertThatThrownBy(() -> RewardBatch.of(LAYOUT, 1, 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("rewards: has 2 elements, 3 (one per sequence) are needed");
    assertThatThrownBy(() -> batch.withValues(1, 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("values: has 2 elements, 6 (one per row) are needed");
    assertThatThrownBy(() -> RewardBatch.ofComponents(LAYOUT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("components: there are none");
  }

  @Test
  void infiniteRewardsAreRefused() {
    assertThatThrownBy(() -> RewardBatch.of(LAYOUT, 1, Double.NEGATIVE_INFINITY, 3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("rewards: is -Infinity for sequence 1; none is NaN, not infinite");
    RewardBatch batch = RewardBatch.of(LAYOUT, 1, 2, 3);
    double infinite = Double.POSITIVE_INFINITY;
    assertThatThrownBy(() -> batch.withTokenRewards(0, infinite, 0, 0, 0, 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("row 1");
    assertThat(batch.withTokenRewards(0, 0, infinite, 0, 0, 0).outcomes()).containsExactly(1, 2, 3);
  }

  @Test
  void whatAnEstimatorNeedsIsNamed() {
    RewardBatch batch = RewardBatch.of(LAYOUT, 1, 2, 3);

    assertThatThrownBy(() -> Gae.of(1, 1).forward(batch))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("values: are missing; RewardBatch.withValues");
    assertThatThrownBy(() -> ReMax.standard().forward(batch))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("greedyRewards: are missing; RewardBatch.withGreedyRewards");
    assertThatThrownBy(() -> OptimalTokenBaseline.standard().forward(batch))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("scoreNorms: are missing; RewardBatch.withScoreNorms");
    assertThatThrownBy(() -> Gdpo.of(1).forward(batch))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("components: are missing; RewardBatch.ofComponents");
  }
}
