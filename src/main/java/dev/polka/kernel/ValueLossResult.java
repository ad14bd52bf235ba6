package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.ValueLossStruct;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;

/**
 * What {@link ValueLoss} computes.
 *
 * <p>Belongs to one thread at a time. Closing frees its memory.
 */
public final class ValueLossResult implements AutoCloseable {
  private final Doubles metrics = Doubles.allocate(ValueLossMetrics.FIELDS);
  private final Floats gradient;

  ValueLossResult(Floats gradient) {
    this.gradient = gradient;
  }

  /**
   * Room for loss and gradient.
   *
   * @param rows the number of tokens
   * @return a result that owns its memory; close it
   */
  public static ValueLossResult allocate(long rows) {
    return new ValueLossResult(Floats.allocate(rows));
  }

  void write(NativeCall call, long rows) {
    call.out("out metrics", metrics, ValueLossMetrics.FIELDS, ValueLossStruct.METRICS);
    call.out("out gradient", gradient, rows, ValueLossStruct.D_VALUES);
  }

  /** {@return the loss} */
  public double loss() {
    return metrics.get(0);
  }

  /** {@return what to watch, copied} */
  public ValueLossMetrics metrics() {
    return ValueLossMetrics.read(metrics);
  }

  /**
   * The gradient of the loss for the values.
   *
   * @return one per token, 0 where it is skipped
   * @throws IllegalStateException if the result has none
   */
  public Floats gradient() {
    if (gradient == null) {
      throw new IllegalStateException(
          "ValueLossResult: has no gradient; forwardBackward makes one");
    }
    return gradient;
  }

  /** Frees the memory. */
  @Override
  public void close() {
    metrics.close();
    if (gradient != null) {
      gradient.close();
    }
  }
}
