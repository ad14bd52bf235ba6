package dev.polka.kernel;

/** What is subtracted from a reward. */
public enum Baseline {
  /** The mean of the group (GRPO). */
  MEAN,
  /** The mean of the group's other rewards (RLOO). */
  LEAVE_ONE_OUT;

  int code() {
    return ordinal();
  }
}
