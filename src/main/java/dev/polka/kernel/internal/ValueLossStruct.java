package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_value_loss_args}. */
public final class ValueLossStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int ROWS = 56;
  public static final int SEQUENCES = 64;
  public static final int OFFSETS = 72;
  public static final int MASK = 80;
  public static final int VALUES = 88;
  public static final int OLD_VALUES = 96;
  public static final int RETURNS = 104;
  public static final int D_VALUES = 112;
  public static final int METRICS = 120;
  public static final int NORMALIZER = 128;
  public static final int CLIP = 144;
  public static final int HUBER_DELTA = 148;
  public static final int GRADIENT_SCALE = 152;
  public static final int SKIP_NON_FINITE = 156;

  /** Bytes of the whole struct. */
  public static final int SIZE = 160;

  private ValueLossStruct() {}
}
