package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_policy_objective}. */
public final class PolicyObjectiveStruct {
  public static final int KL_COEFFICIENT = 0;
  public static final int ENTROPY_COEFFICIENT = 8;
  public static final int CLIP_LOW = 16;
  public static final int CLIP_HIGH = 20;
  public static final int DUAL_CLIP = 24;
  public static final int RATIO_MAX = 28;
  public static final int MAX_LOG_RATIO = 32;
  public static final int SEQUENCE_MAX_LOG_RATIO = 36;
  public static final int K3_MAX = 40;
  public static final int RATIO_LEVEL = 44;
  public static final int SEQUENCE_GRADIENT = 48;
  public static final int KL_ESTIMATOR = 52;
  public static final int KL_GRADIENT_MODE = 56;
  public static final int SKIP_NON_FINITE = 60;

  /** Bytes of the whole struct. */
  public static final int SIZE = 64;

  private PolicyObjectiveStruct() {}
}
