package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_log_prob_forward_args}. */
public final class LogProbForwardStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int LOGITS = 56;
  public static final int TARGETS = 112;
  public static final int SOFTMAX = 144;
  public static final int LOG_PROB = 184;
  public static final int MAX = 192;
  public static final int LOG_SUM = 200;
  public static final int LSE = 208;
  public static final int ENTROPY = 216;
  public static final int SUM_P2 = 224;
  public static final int MEAN_LOGIT = 232;
  public static final int SELF_CERTAINTY = 240;
  public static final int FINITE_COLUMNS = 248;
  public static final int TOP1 = 256;
  public static final int TOP2 = 264;
  public static final int SECOND_LOG_PROB = 272;
  public static final int SECOND_TEMPERATURE = 280;
  public static final int RESERVED = 284;

  /** Bytes of the whole struct. */
  public static final int SIZE = 288;

  private LogProbForwardStruct() {}
}
