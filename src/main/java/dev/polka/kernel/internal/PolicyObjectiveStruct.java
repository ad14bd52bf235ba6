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
  public static final int ANCHOR_COEFFICIENT = 64;
  public static final int NLL_COEFFICIENT = 72;
  public static final int TAU_POSITIVE = 80;
  public static final int TAU_NEGATIVE = 84;
  public static final int SHAPE_POSITIVE = 88;
  public static final int RATE_POSITIVE = 92;
  public static final int SHAPE_NEGATIVE = 96;
  public static final int RATE_NEGATIVE = 100;
  public static final int TRUST_LOW = 104;
  public static final int TRUST_HIGH = 108;
  public static final int SURROGATE_MAX = 112;
  public static final int ENTROPY_THRESHOLD = 116;
  public static final int OFF_POLICY_MAX = 120;
  public static final int KIND = 124;
  public static final int ANCHOR_ESTIMATOR = 128;
  public static final int REGRESSION_SCALE = 132;

  /** Bytes of the whole struct. */
  public static final int SIZE = 136;

  private PolicyObjectiveStruct() {}
}
