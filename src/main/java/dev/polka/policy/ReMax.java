package dev.polka.policy;

import dev.polka.kernel.TokenLayout;

/**
 * ReMax (Li et al. 2024): the reward to go of each token less the reward of the greedy answer to
 * the same prompt, one more rollout per prompt in place of a value model.
 *
 * <pre>{@code A_t = sum of the rewards from t on - R_greedy}</pre>
 *
 * <p>Needs {@link RewardBatch#withGreedyRewards}; a sequence whose greedy answer has no reward
 * (NaN) gets 0. Not whitened, as in verl. The returns are the rewards to go.
 *
 * <p>Immutable and thread-safe.
 */
public final class ReMax implements AdvantageEstimator {
  private static final ReMax STANDARD = new ReMax();

  private ReMax() {}

  /** {@return the estimator} */
  public static ReMax standard() {
    return STANDARD;
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    double[] greedy = batch.greedyRewards();
    TokenLayout layout = RewardBatch.withoutNan(batch.rewarded(), greedy);
    double[] returns = RewardToGo.discounted(batch, 1);
    double[] baseline = layout.spread(greedy);
    double[] advantages = new double[returns.length];
    for (int row = 0; row < advantages.length; row++) {
      returns[row] = layout.counts(row) ? returns[row] : 0;
      advantages[row] = returns[row] - baseline[row];
    }
    return new Advantages(layout, advantages, returns);
  }
}
