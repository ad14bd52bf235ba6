package dev.polka.kernel;

/** What is subtracted from a reward. */
public enum Baseline {
  /** The mean of the group (GRPO). */
  MEAN,
  /** The mean of the group's other rewards (RLOO). */
  LEAVE_ONE_OUT,
  /**
   * The mean of the group weighted by {@link Groups#withWeights}, {@code sum w_j R_j / sum w_j}:
   * with lengths as weights OPO, whose gradient has the least variance if that of a sequence grows
   * with its length. Without weights the call is refused.
   */
  WEIGHTED_MEAN,
  /**
   * {@code ln(mean_j exp(beta R_j)) / beta}, the value of the group under a policy that is free to
   * prefer its better answers (SPPO, A2PO): the mean for beta near 0, the best reward for a large
   * one. Weighted where the groups have weights.
   */
  SOFT_MEAN,
  /**
   * For the best reward the best of the others; every other reward gets advantage 0. The maximum of
   * the group rises by the difference thanks to that one answer (pass@k in verl).
   */
  RUNNER_UP;

  int code() {
    return ordinal();
  }
}
