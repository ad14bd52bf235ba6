package dev.polka.policy;

import java.util.Objects;

/**
 * REINFORCE++ (Hu et al. 2025): the discounted reward to go of each token, whitened over all tokens
 * of the step. Needs neither groups nor a value model; usually with a KL penalty among the rewards
 * of tokens.
 *
 * <pre>{@code
 * G_t = r_t + gamma G_t'        t' the next token that counts
 * A_t = (G_t - mean) / sqrt(var + 1e-8)
 * }</pre>
 *
 * <p>Tokens that do not count are passed over (verl since its fix; SkyRL still starts anew after
 * each tool answer). Whitening is over n - 1 in verl, over n with a floor of 1e-8 in OpenRLHF. The
 * returns are those before whitening.
 *
 * <p>Immutable and thread-safe.
 */
public final class ReinforcePlusPlus implements AdvantageEstimator {
  private final double gamma;
  private final Whitening whitening; // null: none

  private ReinforcePlusPlus(double gamma, Whitening whitening) {
    this.gamma = gamma;
    this.whitening = whitening;
  }

  /** {@return the estimator: no discount, {@link Whitening#unbiased}} */
  public static ReinforcePlusPlus standard() {
    return new ReinforcePlusPlus(1, Whitening.unbiased());
  }

  /**
   * Discounts what is further away.
   *
   * @param gamma within [0, 1]; 1 in every system unless set
   * @return the estimator with it
   * @throws IllegalArgumentException if {@code gamma} is outside [0, 1]
   */
  public ReinforcePlusPlus withDiscount(double gamma) {
    if (!(gamma >= 0 && gamma <= 1)) {
      throw new IllegalArgumentException("gamma: " + gamma + " is outside [0, 1]");
    }
    return new ReinforcePlusPlus(gamma, whitening);
  }

  /**
   * Chooses the whitening.
   *
   * @param whitening how; the batch must be the whole step
   * @return the estimator with it
   */
  @Override
  public ReinforcePlusPlus withWhitening(Whitening whitening) {
    return new ReinforcePlusPlus(gamma, Objects.requireNonNull(whitening, "whitening"));
  }

  /**
   * Leaves the whitening to {@link Advantages#whitened(Whitening, Moments)}, for a step in several
   * parts.
   *
   * @return the estimator without it
   */
  public ReinforcePlusPlus withoutWhitening() {
    return new ReinforcePlusPlus(gamma, null);
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    double[] returns = RewardToGo.discounted(batch, gamma);
    Advantages plain = new Advantages(batch.rewarded(), returns, returns);
    return whitening == null ? plain : plain.whitened(whitening);
  }
}
