package dev.polka.kernel;

/** Where the small constant stands that keeps the division away from 0. */
public enum EpsilonPlacement {
  /** {@code std + epsilon} (verl, TRL and all other GRPO systems). */
  OUTSIDE,
  /** {@code sqrt(var + epsilon)}, as in whitening. */
  IN_SQRT;

  int code() {
    return ordinal();
  }
}
