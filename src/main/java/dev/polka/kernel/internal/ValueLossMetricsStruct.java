package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_value_loss_metrics}. */
public final class ValueLossMetricsStruct {
  public static final int LOSS = 0;
  public static final int TOKENS = 8;
  public static final int CLIPPED_SUM = 16;
  public static final int VALUE_SUM = 24;
  public static final int RETURN_MEAN = 32;
  public static final int RETURN_SQUARES = 40;
  public static final int ERROR_MEAN = 48;
  public static final int ERROR_SQUARES = 56;
  public static final int NON_FINITE_ROWS = 64;
  public static final int FIRST_NON_FINITE_ROW = 72;

  /** Bytes of the whole struct. */
  public static final int SIZE = 80;

  private ValueLossMetricsStruct() {}
}
