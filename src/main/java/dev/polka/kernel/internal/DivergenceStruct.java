package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_divergence_args}. */
public final class DivergenceStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int STUDENT = 56;
  public static final int TEACHER = 112;
  public static final int STUDENT_SOFTMAX = 168;
  public static final int TEACHER_SOFTMAX = 208;
  public static final int MASK = 248;
  public static final int ROW_WEIGHT = 256;
  public static final int VALUE = 264;
  public static final int STUDENT_ENTROPY = 272;
  public static final int STUDENT_LSE = 280;
  public static final int TEACHER_LSE = 288;
  public static final int LOSS = 296;
  public static final int D_STUDENT = 304;
  public static final int DIVISOR = 360;
  public static final int GRADIENT_SCALE = 368;
  public static final int BETA = 372;
  public static final int KIND = 376;
  public static final int TEACHER_FORM = 380;
  public static final int REFERENCE = 384;
  public static final int LAMBDA = 440;
  public static final int ALPHA = 444;
  public static final int COMMON_PREFIX = 448;
  public static final int RESERVED = 452;

  /** Bytes of the whole struct. */
  public static final int SIZE = 456;

  private DivergenceStruct() {}
}
