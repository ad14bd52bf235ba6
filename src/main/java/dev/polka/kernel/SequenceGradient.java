package dev.polka.kernel;

/**
 * How a sequence ratio is differentiated. Both give the same gradient where the advantage is
 * constant over a sequence.
 */
public enum SequenceGradient {
  /**
   * As if each token had its own ratio of that value: {@code log r_t = log_prob_t -
   * stopgrad(log_prob_t) + stopgrad(mean)} (GSPO-token; verl, SkyRL).
   */
  TOKEN_DETACHED,
  /** The derivative of the mean itself (GSPO; TRL, NeMo-RL, OpenRLHF). The default. */
  THROUGH_MEAN;

  int code() {
    return ordinal();
  }
}
