package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_policy_loss_metrics}. */
public final class PolicyLossMetricsStruct {
  public static final int LOSS = 0;
  public static final int POLICY_LOSS = 8;
  public static final int KL_LOSS = 16;
  public static final int ENTROPY_LOSS = 24;
  public static final int TOKENS = 32;
  public static final int SEQUENCES = 40;
  public static final int CLIPPED_SUM = 48;
  public static final int DUAL_CLIPPED_SUM = 56;
  public static final int CLIP_LOW_SUM = 64;
  public static final int CLIP_HIGH_SUM = 72;
  public static final int CLIP_LOW_SEQUENCES = 80;
  public static final int CLIP_HIGH_SEQUENCES = 88;
  public static final int APPROX_KL_SUM = 96;
  public static final int KL_SUM = 104;
  public static final int ENTROPY_SUM = 112;
  public static final int RATIO_SUM = 120;
  public static final int RATIO_MIN = 128;
  public static final int RATIO_MAX = 136;
  public static final int NON_FINITE_ROWS = 144;
  public static final int FIRST_NON_FINITE_ROW = 152;
  public static final int NLL_LOSS = 160;
  public static final int ANCHOR_LOSS = 168;
  public static final int ABS_LOG_RATIO_SUM = 176;
  public static final int SQUARED_LOG_RATIO_SUM = 184;
  public static final int BELOW_SUM = 192;
  public static final int ABOVE_SUM = 200;
  public static final int LOW_ENTROPY_SUM = 208;
  public static final int OFF_POLICY_SEQUENCES = 216;
  public static final int SEQUENCE_WEIGHT_SUM = 224;

  /** Bytes of the whole struct. */
  public static final int SIZE = 232;

  private PolicyLossMetricsStruct() {}
}
