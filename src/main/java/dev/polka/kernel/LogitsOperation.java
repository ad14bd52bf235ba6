package dev.polka.kernel;

import dev.polka.memory.Floats;
import java.util.Objects;

/**
 * The options that all operations on logits share: how logits become a distribution, and how the
 * call runs. Each {@code with} method returns a new operation; the one it is called on stays as it
 * is.
 *
 * @param <T> the operation
 */
public abstract sealed class LogitsOperation<T extends LogitsOperation<T>>
    permits LogProb, Divergence, TopkDivergence, VocabLogProb, VocabDivergence, ObjectiveOptions {
  final CallOptions options;

  LogitsOperation(CallOptions options) {
    this.options = options;
  }

  abstract T with(CallOptions other);

  /**
   * {@return log-probs of the distribution that this operation makes of logits: with the same
   * temperature, softcap, keep-mask, columns and threads}
   */
  public final LogProb logProb() {
    return LogProb.plain().with(new CallOptions(options.softmax(), options.threads(), 0));
  }

  /** {@return the temperature of each row, or null where one temperature is that of all} */
  public final Floats rowTemperature() {
    return options.softmax().rowTemperature();
  }

  /** {@return the columns that each row is restricted to, or null} */
  public final KeepMask keepMask() {
    return options.softmax().keepMask();
  }

  /** {@return the columns that are tokens, counted from the first; 0 where all are} */
  public final long validVocab() {
    return options.softmax().validVocab();
  }

  private T with(Softmax softmax) {
    return with(options.with(softmax));
  }

  /**
   * Divides the logits: the temperature that the tokens were sampled at, say.
   *
   * @param temperature the temperature, the same for all rows
   * @return the operation with it
   * @throws IllegalArgumentException if {@code temperature} is not finite and >= {@link
   *     Float#MIN_NORMAL}
   */
  public T withTemperature(float temperature) {
    return with(options.softmax().withTemperature(temperature));
  }

  /**
   * Gives each row a temperature of its own, in place of the one for all.
   *
   * @param temperatures f32, one per row, each a temperature where the row counts; a view that
   *     calls read
   * @return the operation with them
   */
  public T withRowTemperature(Floats temperatures) {
    Objects.requireNonNull(temperatures, "temperatures");
    return with(options.softmax().withRowTemperature(temperatures));
  }

  /**
   * Caps logits smoothly, before the temperature and any mask (Gemma 2).
   *
   * @param softcap the cap c of {@code c * tanh(z / c)}
   * @return the operation with it
   * @throws IllegalArgumentException if {@code softcap} is not finite and > 0
   */
  public T withSoftcap(float softcap) {
    return with(options.softmax().withSoftcap(softcap));
  }

  /**
   * Restricts each row to the columns that its sampler could have chosen.
   *
   * @param keepMask one bit per column; a view that calls read
   * @return the operation with it
   */
  public T withKeepMask(KeepMask keepMask) {
    Objects.requireNonNull(keepMask, "keepMask");
    return with(options.softmax().withKeepMask(keepMask));
  }

  /**
   * Leaves out padded columns of the head: they are not read and their gradient is 0.
   *
   * @param columns columns that are tokens, counted from the first
   * @return the operation with it
   * @throws IllegalArgumentException if {@code columns} is less than 1
   */
  public T withValidVocab(long columns) {
    return with(options.softmax().withValidVocab(columns));
  }

  /**
   * Limits the threads of a call. Results do not depend on it.
   *
   * @param threads threads at most; 0 for {@link Backend#threads()}
   * @return the operation with it
   * @throws IllegalArgumentException if {@code threads} is negative
   */
  public T withThreads(int threads) {
    Require.threads(threads);
    return with(new CallOptions(options.softmax(), threads, options.gradientScale()));
  }

  /**
   * Multiplies the gradient before it is rounded: loss scaling for f16, say. A loss is not
   * multiplied.
   *
   * @param scale the factor; f16 in place needs it to be set, be it to 1
   * @return the operation with it
   * @throws IllegalArgumentException if {@code scale} is 0 or not finite
   */
  public T withGradientScale(float scale) {
    Require.gradientScale(scale);
    return with(new CallOptions(options.softmax(), options.threads(), scale));
  }
}
