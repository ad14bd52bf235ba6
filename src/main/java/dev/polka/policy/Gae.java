package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import dev.polka.kernel.TokenReturns;
import dev.polka.kernel.TokenReturnsInput;
import dev.polka.kernel.TokenReturnsResult;
import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;

/**
 * Generalized advantage estimation (Schulman et al. 2016), the estimator of PPO; the formula is
 * {@link TokenReturns}'. Needs {@link RewardBatch#withValues}.
 *
 * <p>PPO is {@code Gae.of(1, 0.95)}, VC-PPO {@code Gae.of(1, 0.95).withValueLambda(1)}, VAPO {@code
 * Gae.of(1, 0.95).withValueLambda(1).withLengthAdaptiveLambda(0.05)}. verl and NeMo-RL have lambda
 * 1 unless set, ROLL 0.95. verl whitens: {@code withWhitening(Whitening.unbiased())}, and leaves
 * what that makes of rows that do not count; here they are 0. Inputs are rounded to f32, sums are
 * f64.
 *
 * <p>Immutable and thread-safe.
 */
public final class Gae implements AdvantageEstimator {
  private final TokenReturns operation;

  private Gae(TokenReturns operation) {
    this.operation = operation;
  }

  /**
   * The estimator.
   *
   * @param gamma the discount, within [0, 1]
   * @param lambda within [0, 1]: 0 trusts the next value, 1 the rewards alone
   * @return the estimator
   * @throws IllegalArgumentException if one of them is outside [0, 1]
   */
  public static Gae of(double gamma, double lambda) {
    return new Gae(TokenReturns.gae(gamma, lambda));
  }

  /**
   * Gives the returns, the targets of the value model, a lambda of their own.
   *
   * @param valueLambda within [0, 1]; 1 in VC-PPO and VAPO
   * @return the estimator with it
   * @throws IllegalArgumentException if it is outside [0, 1]
   */
  public Gae withValueLambda(double valueLambda) {
    return new Gae(operation.withValueLambda(valueLambda));
  }

  /**
   * Lets the lambda of the advantages grow with the length, {@code 1 - 1 / max(alpha n, 1)}.
   *
   * @param alpha the horizon as a share of the length; 0.05 in VAPO; 0 turns it off
   * @return the estimator with it
   * @throws IllegalArgumentException if {@code alpha} is negative or not finite
   */
  public Gae withLengthAdaptiveLambda(double alpha) {
    return new Gae(operation.withLengthAdaptiveLambda(alpha));
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    TokenLayout layout = batch.rewarded();
    double[] afterLast = batch.bootstrapOrNull();
    try (Floats rewards = Advantages.floats(batch.tokenRewards());
        Floats values = Advantages.floats(batch.values());
        Floats bootstrap =
            Advantages.floats(afterLast == null ? new double[layout.sequences()] : afterLast);
        Longs offsets = layout.offsets();
        Bytes mask = layout.mask();
        TokenReturnsResult result =
            operation.forward(
                TokenReturnsInput.of(rewards, offsets)
                    .withValues(values)
                    .withBootstrap(bootstrap)
                    .withMask(mask))) {
      return new Advantages(
          layout, RewardToGo.widened(result.advantages()), RewardToGo.widened(result.returns()));
    }
  }
}
