package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_policy_loss_args}. */
public final class PolicyLossStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int LOGITS = 56;
  public static final int TARGETS = 112;
  public static final int SOFTMAX = 144;
  public static final int BATCH = 184;
  public static final int OBJECTIVE = 240;
  public static final int NORMALIZER = 304;
  public static final int ENTROPY_NORMALIZER = 320;
  public static final int LOG_PROB = 336;
  public static final int ENTROPY = 344;
  public static final int D_LOG_PROB = 352;
  public static final int D_ENTROPY = 360;
  public static final int METRICS = 368;
  public static final int D_LOGITS = 376;
  public static final int GRADIENT_SCALE = 432;
  public static final int RESERVED = 436;

  /** Bytes of the whole struct. */
  public static final int SIZE = 440;

  private PolicyLossStruct() {}
}
