package dev.polka.policy;

/**
 * Turns the rewards of a step into an advantage for each token: what a trainer chooses by name.
 *
 * <table>
 * <caption>Estimators</caption>
 * <tr><th>estimator</th><th>what it compares a reward with</th></tr>
 * <tr><td>{@link OutcomeAdvantage}</td><td>the other answers to the prompt: GRPO, Dr. GRPO, RLOO,
 *   OPO, MaxRL, pass@k and every other {@link dev.polka.kernel.GroupAdvantage}; optionally over the
 *   standard deviation of the batch</td></tr>
 * <tr><td>{@link Gpg}</td><td>the mean of the group, by the share of answers with a reward</td></tr>
 * <tr><td>{@link ReinforcePlusPlus}</td><td>all tokens of the step</td></tr>
 * <tr><td>{@link ReinforcePlusPlusBaseline}</td><td>the mean of the group, then all tokens</td></tr>
 * <tr><td>{@link ReMax}</td><td>the greedy answer to the prompt</td></tr>
 * <tr><td>{@link Gae}</td><td>a value model's estimates: PPO, VC-PPO, VAPO</td></tr>
 * <tr><td>{@link Gdpo}</td><td>the group, for each of several rewards</td></tr>
 * <tr><td>{@link OptimalTokenBaseline}</td><td>the group at the same position, weighted by the
 *   variance of the gradient</td></tr>
 * </table>
 *
 * <p>Rewards of tokens and values are rounded to f32 where they are summed over tokens, and summed
 * in f64; everything else is f64.
 *
 * <p>Implementations are immutable and thread-safe. A step may be cut into batches between groups;
 * where an estimator needs a statistic of the whole step, it says so and takes it as an input.
 */
@FunctionalInterface
public interface AdvantageEstimator {

  /**
   * Computes advantages.
   *
   * @param batch rewards, and what else the estimator needs
   * @return one advantage per row; 0 where a row does not count, and in every sequence without a
   *     reward (NaN)
   * @throws IllegalArgumentException if the batch lacks something that the estimator needs
   * @throws IndexOutOfBoundsException if a group is a singleton where that was made an error
   */
  Advantages forward(RewardBatch batch);

  /**
   * Whitens the advantages over all tokens of the batch, which must be the whole step; see {@link
   * Advantages#whitened} for steps in several parts.
   *
   * @param whitening how
   * @return an estimator that ends with it
   */
  default AdvantageEstimator withWhitening(Whitening whitening) {
    return batch -> forward(batch).whitened(whitening);
  }

  /**
   * Bounds the advantages (NeMo-RL {@code advantage_clip_low} and {@code advantage_clip_high}, ROLL
   * {@code advantage_clip}).
   *
   * @param low lower bound
   * @param high upper bound
   * @return an estimator that ends with it
   * @throws IllegalArgumentException if {@code low} is above {@code high} or one is NaN
   */
  default AdvantageEstimator withClip(double low, double high) {
    Check.range("clip", low, high);
    return batch -> forward(batch).clipped(low, high);
  }
}
