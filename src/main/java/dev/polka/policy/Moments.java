package dev.polka.policy;

import dev.polka.kernel.TokenLayout;

/**
 * How many values there are, their mean, and the sum of their squared deviations from it: enough to
 * whiten by, and to be merged with the moments of other micro-batches or processes.
 *
 * <p>Gather the three numbers of every process and {@link #merge} them, always in the same order:
 * that keeps all digits. Where only sums can be reduced, {@link #ofSums} takes them, and loses as
 * many digits as the square of the mean has more than the variance.
 *
 * @param count number of values
 * @param mean their mean, 0 without any
 * @param squares the sum of the squared deviations
 */
public record Moments(long count, double mean, double squares) {
  /** No values yet. */
  public static final Moments NONE = new Moments(0, 0, 0);

  /**
   * Checks the numbers.
   *
   * @param count number of values
   * @param mean their mean
   * @param squares the sum of the squared deviations
   * @throws IllegalArgumentException if {@code count} or {@code squares} is negative
   */
  public Moments {
    if (count < 0) {
      throw new IllegalArgumentException("count: " + count + " is negative");
    }
    if (squares < 0) {
      throw new IllegalArgumentException("squares: " + squares + " is negative");
    }
  }

  /**
   * Moments of the rows that count, in two passes. Equal values give their own value as the mean
   * and exactly 0 squares.
   *
   * @param layout which rows count
   * @param values one per row; those that do not count are not read
   * @return the moments
   * @throws IllegalArgumentException if there is not one value per row
   */
  public static Moments of(TokenLayout layout, double... values) {
    layout.requireRows("values", values.length);
    long count = 0;
    double sum = 0;
    double low = Double.POSITIVE_INFINITY;
    double high = Double.NEGATIVE_INFINITY;
    for (int row = 0; row < values.length; row++) {
      if (layout.counts(row)) {
        count++;
        sum += values[row];
        low = Math.min(low, values[row]);
        high = Math.max(high, values[row]);
      }
    }
    if (count == 0) {
      return NONE;
    }
    double mean = low == high ? low : sum / count;
    double squares = 0;
    for (int row = 0; row < values.length; row++) {
      if (layout.counts(row)) {
        squares += (values[row] - mean) * (values[row] - mean);
      }
    }
    return new Moments(count, mean, squares);
  }

  /**
   * Moments of values of which none is skipped but NaN, such as the rewards of sequences.
   *
   * @param values the values
   * @return the moments of those that are not NaN
   */
  public static Moments of(double... values) {
    return of(RewardBatch.present(values), values);
  }

  /**
   * Moments from sums that were reduced elsewhere.
   *
   * @param count number of values
   * @param sum their sum
   * @param sumOfSquares the sum of their squares
   * @return the moments
   * @throws IllegalArgumentException if {@code count} is negative
   */
  public static Moments ofSums(long count, double sum, double sumOfSquares) {
    double mean = count == 0 ? 0 : sum / count;
    return new Moments(count, mean, Math.max(sumOfSquares - sum * mean, 0));
  }

  /**
   * Moments of both sets of values together (Chan et al. 1983).
   *
   * @param other those of other values
   * @return the moments of all
   */
  public Moments merge(Moments other) {
    if (count == 0 || other.count == 0) {
      return count == 0 ? other : this;
    }
    long all = count + other.count;
    double apart = other.mean - mean;
    return new Moments(
        all,
        mean + apart * other.count / all,
        squares + other.squares + apart * apart * ((double) count * other.count / all));
  }

  /** {@return the variance over {@code count}; 0 without values} */
  public double biasedVariance() {
    return count == 0 ? 0 : squares / count;
  }

  /** {@return the variance over {@code count - 1}; 0 for fewer than two values} */
  public double unbiasedVariance() {
    return count < 2 ? 0 : squares / (count - 1);
  }
}
