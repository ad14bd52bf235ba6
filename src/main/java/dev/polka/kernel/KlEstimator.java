package dev.polka.kernel;

/**
 * Estimators of the KL divergence from a policy to a reference, for a token sampled from the
 * policy, with {@code d = log_prob - reference} (Schulman 2020, "Approximating KL divergence").
 */
public enum KlEstimator {
  /** {@code d}: unbiased, large variance. Its plain gradient is 0 on average. */
  K1(1),
  /** {@code |d|}. */
  ABS(2),
  /** {@code d^2 / 2}: biased, small variance; its plain gradient is that of the KL divergence. */
  K2(3),
  /** {@code exp(-d) - 1 + d}: unbiased and never negative (verl {@code low_var_kl}, TRL, GRPO). */
  K3(4);

  private final int code;

  KlEstimator(int code) {
    this.code = code;
  }

  int code() {
    return code;
  }
}
