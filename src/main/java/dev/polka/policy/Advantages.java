package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Floats;

/**
 * An advantage for each row and, where the estimator makes them, a return: the target of a value
 * model.
 *
 * <p>Immutable; arrays are copied. Thread-safe.
 */
public final class Advantages {
  private final TokenLayout layout;
  private final double[] perRow;
  private final double[] returns;

  /**
   * Made by estimators.
   *
   * @param layout the rows that count, those of sequences without a reward left out
   * @param perRow one advantage per row, 0 where it does not count; kept as it is
   * @param returns one per row, or null
   */
  Advantages(TokenLayout layout, double[] perRow, double[] returns) {
    this.layout = layout;
    this.perRow = perRow;
    this.returns = returns;
  }

  /**
   * Advantages of an estimator of one's own.
   *
   * @param layout the rows that count
   * @param perRow one per row; those that do not count are taken as 0
   * @return the advantages
   * @throws IllegalArgumentException if there is not one per row
   */
  public static Advantages of(TokenLayout layout, double... perRow) {
    layout.requireRows("perRow", perRow.length);
    double[] copy = perRow.clone();
    for (int row = 0; row < copy.length; row++) {
      copy[row] = layout.counts(row) ? copy[row] : 0;
    }
    return new Advantages(layout, copy, null);
  }

  /** {@return the rows that count: those of sequences that have a reward} */
  public TokenLayout layout() {
    return layout;
  }

  /** {@return one advantage per row, 0 where it does not count} */
  public double[] perRow() {
    return perRow.clone();
  }

  /**
   * The returns, where the estimator makes them.
   *
   * @return one per row, 0 where it does not count
   * @throws IllegalStateException if there are none
   */
  public double[] returns() {
    if (returns == null) {
      throw new IllegalStateException("Advantages: this estimator makes no returns; Gae does");
    }
    return returns.clone();
  }

  /** {@return the advantages for {@link dev.polka.kernel.TokenBatch#withAdvantages}; close them} */
  public Floats floats() {
    return floats(perRow);
  }

  static Floats floats(double[] values) {
    float[] rounded = new float[values.length];
    for (int i = 0; i < rounded.length; i++) {
      rounded[i] = (float) values[i];
    }
    return Floats.copyOf(rounded);
  }

  /**
   * {@return mean and variance over the rows that count, to be merged with those of other parts}
   */
  public Moments moments() {
    return Moments.of(layout, perRow);
  }

  /**
   * Whitens over the rows that count here.
   *
   * @param whitening how
   * @return the whitened advantages, with the same returns
   */
  public Advantages whitened(Whitening whitening) {
    return whitened(whitening, moments());
  }

  /**
   * Whitens by moments of the whole step, of which these advantages are a part: gather {@link
   * #moments} from all parts and merge them.
   *
   * @param whitening how
   * @param moments mean and variance of the step
   * @return the whitened advantages, with the same returns
   */
  public Advantages whitened(Whitening whitening, Moments moments) {
    return new Advantages(layout, whitening.forward(layout, perRow, moments), returns);
  }

  /**
   * Bounds the advantages.
   *
   * @param low lower bound
   * @param high upper bound
   * @return the bounded advantages, with the same returns
   * @throws IllegalArgumentException if {@code low} is above {@code high} or one is NaN
   */
  public Advantages clipped(double low, double high) {
    Check.range("clip", low, high);
    double[] bounded = new double[perRow.length];
    for (int row = 0; row < bounded.length; row++) {
      bounded[row] = layout.counts(row) ? Math.min(Math.max(perRow[row], low), high) : 0;
    }
    return new Advantages(layout, bounded, returns);
  }
}
