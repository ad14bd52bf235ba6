package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_topk_divergence_args}. */
public final class TopkDivergenceStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int STUDENT = 56;
  public static final int SOFTMAX = 112;
  public static final int ENTRIES = 152;
  public static final int TEACHER_IDS = 160;
  public static final int TEACHER_LOG_PROB = 168;
  public static final int MASK = 176;
  public static final int ROW_WEIGHT = 184;
  public static final int VALUE = 192;
  public static final int STUDENT_ENTROPY = 200;
  public static final int STUDENT_LSE = 208;
  public static final int STUDENT_MASS = 216;
  public static final int TEACHER_MASS = 224;
  public static final int OVERLAP = 232;
  public static final int LOSS = 240;
  public static final int D_STUDENT = 248;
  public static final int DIVISOR = 304;
  public static final int GRADIENT_SCALE = 312;
  public static final int BETA = 316;
  public static final int ALPHA = 320;
  public static final int KIND = 324;
  public static final int TAIL = 328;
  public static final int IDS_DTYPE = 332;

  /** Bytes of the whole struct. */
  public static final int SIZE = 336;

  private TopkDivergenceStruct() {}
}
