package dev.polka.train.config;

/**
 * The loss of a {@link Grpo} stage, as the kernels compute it. The defaults are the paper's (arXiv
 * 2605.12483): sample standard deviation, clip 0.2 / 0.28, dual clip 10, mean over tokens, no KL
 * and no entropy term.
 *
 * @param advantage how rewards of a group become advantages
 * @param average what the sum of token losses is divided by
 * @param clipLow the ratio is clipped below 1 - clipLow, in [0, 1]
 * @param clipHigh the ratio is clipped above 1 + clipHigh, at least 0
 * @param dualClip most of the loss of a negative advantage in units of it, above 1; 0 for none
 * @param klCoefficient weight of the KL penalty, at least 0
 * @param klEstimator which estimate of the KL divergence the penalty uses
 * @param entropyCoefficient weight of the entropy bonus, at least 0
 */
public record PolicyObjective(
    Advantage advantage,
    Average average,
    double clipLow,
    double clipHigh,
    double dualClip,
    double klCoefficient,
    KlEstimate klEstimator,
    double entropyCoefficient) {

  /** How rewards of a group become advantages. */
  public enum Advantage {
    /** (r - mean) / (std + epsilon) (DeepSeekMath). */
    GRPO,
    /** r - mean (Liu et al., Dr. GRPO, 2025). */
    DR_GRPO,
    /** r minus the mean of the others (Ahmadian et al., RLOO, 2024). */
    RLOO
  }

  /** What the sum of token losses is divided by. */
  public enum Average {
    /** The number of response tokens in the step (Yu et al., DAPO, 2025). */
    TOKENS,
    /** Each response by its own length, then the number of responses (DeepSeekMath). */
    SEQUENCES,
    /** The longest possible response times the number of responses (Dr. GRPO). */
    CONSTANT
  }

  /** Estimates of KL(policy || reference) from sampled tokens (Schulman, 2020). */
  public enum KlEstimate {
    /** The log-ratio. */
    K1,
    /** Half its square. */
    K2,
    /** exp(-d) - 1 + d for the log-ratio d. */
    K3
  }

  /**
   * The defaults.
   *
   * @return the paper's objective
   */
  public static PolicyObjective defaults() {
    return new PolicyObjective(Advantage.GRPO, Average.TOKENS, 0.2, 0.28, 10, 0, KlEstimate.K3, 0);
  }
}
