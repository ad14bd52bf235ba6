package dev.polka.kernel;

/**
 * What the gradient of a KL estimate is. The value of an estimator being right does not make its
 * derivative right: on average over samples of the policy, the plain derivative of k1 is 0, and
 * that of k3 points along the KL divergence the other way round.
 */
public enum KlGradient {
  /** The derivative of the estimator (verl {@code k1}, {@code k2}, {@code k3}; TRL). */
  PATHWISE,
  /**
   * The value of the estimator with the gradient of k2, {@code d}: on average exactly the gradient
   * of KL(policy || reference) for on-policy samples (verl {@code k3+}). The default.
   */
  STRAIGHT_THROUGH_K2,
  /**
   * The derivative of {@code w * estimator} with {@code w = exp(log_prob - old)}, which also
   * corrects for samples of an older policy (TRL {@code use_bias_correction_kl}, slime {@code
   * use_unbiased_kl}). Without old log-probs w has value 1 and its own derivative, which for k3 is
   * the gradient of k2: NeMo-RL's default is {@link #STRAIGHT_THROUGH_K2}. Right for k1 and k3,
   * wrong for k2.
   */
  IMPORTANCE_WEIGHTED,
  /** No gradient: the estimate is only watched. */
  DETACHED;

  int code() {
    return ordinal();
  }
}
