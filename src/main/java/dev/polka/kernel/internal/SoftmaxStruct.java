package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_softmax}. */
public final class SoftmaxStruct {
  public static final int ROW_TEMPERATURE = 0;
  public static final int KEEP_MASK = 8;
  public static final int KEEP_MASK_STRIDE = 16;
  public static final int VALID_VOCAB = 24;
  public static final int TEMPERATURE = 32;
  public static final int SOFTCAP = 36;

  /** Bytes of the whole struct. */
  public static final int SIZE = 40;

  private SoftmaxStruct() {}
}
