package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_targets}. */
public final class TargetsStruct {
  public static final int DATA = 0;
  public static final int MASK = 8;
  public static final int IGNORE_INDEX = 16;
  public static final int DTYPE = 24;
  public static final int RESERVED = 28;

  /** Bytes of the whole struct. */
  public static final int SIZE = 32;

  private TargetsStruct() {}
}
