package dev.polka.kernel;

/** What a group with a single finite reward gets, which has neither spread nor a peer. */
public enum Singleton {
  /** Advantage 0: nothing can be learned from it (TRL, verl's vectorised RLOO). The default. */
  ZERO,
  /**
   * Baseline 0, standard deviation and mean 1, then the same formula: the raw reward (verl GRPO).
   */
  RAW,
  /** The call throws {@link IllegalArgumentException} naming the group. */
  ERROR;

  int code() {
    return ordinal();
  }
}
