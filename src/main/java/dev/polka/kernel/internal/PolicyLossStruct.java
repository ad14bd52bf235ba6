package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_policy_loss_args}. */
public final class PolicyLossStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int LOGITS = 56;
  public static final int TARGETS = 112;
  public static final int SOFTMAX = 144;
  public static final int BATCH = 184;
  public static final int OBJECTIVE = 264;
  public static final int NORMALIZER = 400;
  public static final int ENTROPY_NORMALIZER = 416;
  public static final int LOG_PROB = 432;
  public static final int ENTROPY = 440;
  public static final int D_LOG_PROB = 448;
  public static final int D_ENTROPY = 456;
  public static final int METRICS = 464;
  public static final int D_LOGITS = 472;
  public static final int GRADIENT_SCALE = 528;
  public static final int RESERVED = 532;
  public static final int NLL_NORMALIZER = 536;

  /** Bytes of the whole struct. */
  public static final int SIZE = 552;

  private PolicyLossStruct() {}
}
