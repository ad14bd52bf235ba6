package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_vocab_log_prob_args}. */
public final class VocabLogProbStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int LOGITS = 56;
  public static final int TARGETS = 112;
  public static final int SOFTMAX = 144;
  public static final int FIRST_COLUMN = 184;
  public static final int VOCABULARY = 192;
  public static final int SHARDS = 200;
  public static final int STATISTICS = 208;
  public static final int LOG_PROB = 216;
  public static final int MAX = 224;
  public static final int LOG_SUM = 232;
  public static final int LSE = 240;
  public static final int ENTROPY = 248;
  public static final int D_LOG_PROB = 256;
  public static final int D_ENTROPY = 264;
  public static final int D_LOGITS = 272;
  public static final int GRADIENT_SCALE = 328;
  public static final int RESERVED = 332;

  /** Bytes of the whole struct. */
  public static final int SIZE = 336;

  private VocabLogProbStruct() {}
}
