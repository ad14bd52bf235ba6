package dev.polka.kernel;

/** Which standard deviation of its group a centred reward is divided by. */
public enum Std {
  /** None (Dr. GRPO, RLOO). */
  NONE,
  /** The square root of the sum of squares over n - 1 (verl, TRL, slime, SkyRL, ROLL GRPO). */
  UNBIASED,
  /** The square root of the sum of squares over n. */
  BIASED,
  /**
   * That of the group's other rewards, over n - 2 (NeMo-RL). A reward whose others are all equal,
   * or that has only one other, is not divided. NeMo-RL itself takes the difference of two large
   * numbers here and reaches advantages in the thousands.
   */
  LEAVE_ONE_OUT;

  int code() {
    return ordinal();
  }
}
