package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_vocab_divergence_args}. */
public final class VocabDivergenceStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int STUDENT = 56;
  public static final int TEACHER = 112;
  public static final int STUDENT_SOFTMAX = 168;
  public static final int TEACHER_SOFTMAX = 208;
  public static final int MASK = 248;
  public static final int ROW_WEIGHT = 256;
  public static final int STUDENT_MAX = 264;
  public static final int STUDENT_LOG_SUM = 272;
  public static final int TEACHER_MAX = 280;
  public static final int TEACHER_LOG_SUM = 288;
  public static final int SHARDS = 296;
  public static final int TOTALS = 304;
  public static final int MERGED = 312;
  public static final int VALUE = 320;
  public static final int LOSS = 328;
  public static final int D_STUDENT = 336;
  public static final int DIVISOR = 392;
  public static final int GRADIENT_SCALE = 400;
  public static final int BETA = 404;
  public static final int ALPHA = 408;
  public static final int KIND = 412;

  /** Bytes of the whole struct. */
  public static final int SIZE = 416;

  private VocabDivergenceStruct() {}
}
