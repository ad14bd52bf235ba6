package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_log_prob_backward_args}. */
public final class LogProbBackwardStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int LOGITS = 56;
  public static final int TARGETS = 112;
  public static final int SOFTMAX = 144;
  public static final int MAX = 184;
  public static final int LOG_SUM = 192;
  public static final int ENTROPY = 200;
  public static final int FINITE_COLUMNS = 208;
  public static final int D_LOG_PROB = 216;
  public static final int D_ENTROPY = 224;
  public static final int D_SELF_CERTAINTY = 232;
  public static final int D_LOGITS = 240;
  public static final int GRADIENT_SCALE = 296;
  public static final int RESERVED = 300;

  /** Bytes of the whole struct. */
  public static final int SIZE = 304;

  private LogProbBackwardStruct() {}
}
