package dev.polka.kernel;

/** Which standard deviation of its group a centred reward is divided by. */
public enum Std {
  /** None (Dr. GRPO, RLOO). */
  NONE,
  /** The square root of the sum of squares over n - 1 (verl, TRL, OpenRLHF, NeMo-RL GRPO). */
  UNBIASED,
  /** The square root of the sum of squares over n. */
  BIASED;

  int code() {
    return ordinal();
  }
}
