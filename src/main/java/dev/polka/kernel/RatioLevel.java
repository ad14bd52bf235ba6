package dev.polka.kernel;

/** What an importance ratio between the policy and the one that sampled is taken over. */
public enum RatioLevel {
  /** Each token: {@code r_t = exp(log_prob_t - old_t)} (PPO, GRPO, DAPO). */
  TOKEN,
  /** A sequence: {@code r = exp(mean_t(log_prob_t - old_t))} over its tokens that count (GSPO). */
  SEQUENCE;

  int code() {
    return ordinal();
  }
}
