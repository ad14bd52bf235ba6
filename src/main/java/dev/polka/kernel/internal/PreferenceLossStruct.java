package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_preference_loss_args}. */
public final class PreferenceLossStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int COUNT = 56;
  public static final int GROUPS = 64;
  public static final int GROUP_OFFSETS = 72;
  public static final int SCORES = 80;
  public static final int REF_SCORES = 88;
  public static final int TARGETS = 96;
  public static final int DESIRABLE = 104;
  public static final int WEIGHTS = 112;
  public static final int UNIT_LOSSES = 120;
  public static final int D_SCORES = 128;
  public static final int METRICS = 136;
  public static final int DIVISOR = 144;
  public static final int BETA = 152;
  public static final int MARGIN = 160;
  public static final int BIAS = 168;
  public static final int LABEL_SMOOTHING = 176;
  public static final int REFERENCE_POINT = 184;
  public static final int DESIRABLE_WEIGHT = 192;
  public static final int UNDESIRABLE_WEIGHT = 200;
  public static final int KIND = 208;
  public static final int RESERVED = 212;

  /** Bytes of the whole struct. */
  public static final int SIZE = 216;

  private PreferenceLossStruct() {}
}
