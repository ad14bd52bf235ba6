package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_preference_loss_metrics}. */
public final class PreferenceLossMetricsStruct {
  public static final int LOSS = 0;
  public static final int PAIRS = 8;
  public static final int CORRECT = 16;
  public static final int MARGIN_SUM = 24;
  public static final int CHOSEN_SUM = 32;
  public static final int REJECTED_SUM = 40;
  public static final int NON_FINITE_UNITS = 48;
  public static final int FIRST_NON_FINITE_UNIT = 56;

  /** Bytes of the whole struct. */
  public static final int SIZE = 64;

  private PreferenceLossMetricsStruct() {}
}
