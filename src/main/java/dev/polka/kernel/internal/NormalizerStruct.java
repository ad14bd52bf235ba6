package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_normalizer}. */
public final class NormalizerStruct {
  public static final int DIVISOR = 0;
  public static final int SEQUENCE_TOKENS = 8;

  /** Bytes of the whole struct. */
  public static final int SIZE = 16;

  private NormalizerStruct() {}
}
