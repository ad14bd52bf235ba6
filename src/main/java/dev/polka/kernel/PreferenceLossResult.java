package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.PreferenceLossStruct;
import dev.polka.memory.Doubles;

/**
 * What {@link PreferenceLoss} computes.
 *
 * <p>Belongs to one thread at a time. Closing frees its memory.
 */
public final class PreferenceLossResult implements AutoCloseable {
  private final Doubles metrics;
  private final Doubles losses;
  private final Doubles gradient;

  private PreferenceLossResult(Doubles losses, Doubles gradient) {
    this.metrics = Doubles.allocate(PreferenceLossMetrics.FIELDS);
    this.losses = losses;
    this.gradient = gradient;
  }

  /**
   * Room for loss and gradient.
   *
   * @param like responses of the same number, in groups of the same number
   * @return a result that owns its memory; close it
   */
  public static PreferenceLossResult allocate(Preferences like) {
    Doubles losses = Doubles.allocate(like.units());
    return new PreferenceLossResult(losses, Doubles.allocate(like.scores.size()));
  }

  static PreferenceLossResult withoutGradient(Preferences like) {
    return new PreferenceLossResult(Doubles.allocate(like.units()), null);
  }

  void write(NativeCall call, long units, long count, Doubles gradientOut) {
    call.out("out metrics", metrics, PreferenceLossMetrics.FIELDS, PreferenceLossStruct.METRICS);
    call.out("out losses", losses, units, PreferenceLossStruct.UNIT_LOSSES);
    call.out("out gradient", gradientOut, count, PreferenceLossStruct.D_SCORES);
  }

  /** {@return the loss} */
  public double loss() {
    return metrics.get(0);
  }

  /** {@return what to watch, copied} */
  public PreferenceLossMetrics metrics() {
    return PreferenceLossMetrics.read(metrics);
  }

  /** {@return the loss of each group, or response where they are labelled, before its weight} */
  public Doubles losses() {
    return losses;
  }

  /**
   * The gradient of the loss for the scores.
   *
   * @return one per response
   * @throws IllegalStateException if the result has none
   */
  public Doubles gradient() {
    if (gradient == null) {
      throw new IllegalStateException(
          "PreferenceLossResult: has no gradient; forwardBackward makes one");
    }
    return gradient;
  }

  /** Frees the memory. */
  @Override
  public void close() {
    metrics.close();
    losses.close();
    if (gradient != null) {
      gradient.close();
    }
  }
}
