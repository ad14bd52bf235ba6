package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_segment_args}. */
public final class SegmentStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int COUNT = 56;
  public static final int SEGMENTS = 64;
  public static final int OFFSETS = 72;
  public static final int VALUES = 80;
  public static final int MASK = 88;
  public static final int RESULTS = 96;
  public static final int BROADCAST = 104;
  public static final int REDUCTION = 112;
  public static final int RESERVED = 116;

  /** Bytes of the whole struct. */
  public static final int SIZE = 120;

  private SegmentStruct() {}
}
