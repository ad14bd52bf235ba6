package dev.polka.kernel;

import dev.polka.kernel.internal.ValueLossMetricsStruct;
import dev.polka.memory.Doubles;

/**
 * What to watch of a value function; in brackets verl's names under {@code critic/}.
 *
 * @param loss the loss [vf_loss]
 * @param tokens tokens that count
 * @param clipped those where the clamped value decides
 * @param valueSum sum of the values
 * @param returnMean mean of the returns
 * @param returnSquares sum of their squared deviations from it
 * @param errorMean mean of {@code return - value}
 * @param errorSquares sum of their squared deviations from it
 * @param nonFiniteRows rows with a value, old value or return that is not finite
 * @param firstNonFiniteRow the lowest of them in its micro-batch, or -1
 */
public record ValueLossMetrics(
    double loss,
    long tokens,
    long clipped,
    double valueSum,
    double returnMean,
    double returnSquares,
    double errorMean,
    double errorSquares,
    long nonFiniteRows,
    long firstNonFiniteRow) {
  static final int FIELDS = ValueLossMetricsStruct.SIZE / Double.BYTES;

  static ValueLossMetrics read(Doubles struct) {
    double[] f = struct.toArray();
    return new ValueLossMetrics(
        f[ValueLossMetricsStruct.LOSS / Double.BYTES],
        (long) f[ValueLossMetricsStruct.TOKENS / Double.BYTES],
        (long) f[ValueLossMetricsStruct.CLIPPED_SUM / Double.BYTES],
        f[ValueLossMetricsStruct.VALUE_SUM / Double.BYTES],
        f[ValueLossMetricsStruct.RETURN_MEAN / Double.BYTES],
        f[ValueLossMetricsStruct.RETURN_SQUARES / Double.BYTES],
        f[ValueLossMetricsStruct.ERROR_MEAN / Double.BYTES],
        f[ValueLossMetricsStruct.ERROR_SQUARES / Double.BYTES],
        (long) f[ValueLossMetricsStruct.NON_FINITE_ROWS / Double.BYTES],
        (long) f[ValueLossMetricsStruct.FIRST_NON_FINITE_ROW / Double.BYTES]);
  }

  /** {@return the share of tokens where the clamped value decides [vf_clipfrac]; 0 without any} */
  public double clipFraction() {
    return tokens == 0 ? 0 : (double) clipped / tokens;
  }

  /** {@return the mean value [vpred_mean]; 0 without tokens} */
  public double valueMean() {
    return tokens == 0 ? 0 : valueSum / tokens;
  }

  /**
   * {@return the share of the returns' variance that the values explain, {@code 1 - var(R - v) /
   * var(R)} [vf_explained_var]; NaN where all returns are equal}
   */
  public double explainedVariance() {
    return returnSquares == 0 ? Double.NaN : 1 - errorSquares / returnSquares;
  }

  /**
   * {@return the metrics of two micro-batches of a step together} Variances as in Chan et al. 1979.
   *
   * @param other those of the other one
   */
  public ValueLossMetrics plus(ValueLossMetrics other) {
    if (tokens == 0 || other.tokens == 0) {
      ValueLossMetrics full = tokens == 0 ? other : this;
      return withCounts(
          this, other, full.returnMean, full.returnSquares, full.errorMean, full.errorSquares);
    }
    double share = (double) other.tokens / (tokens + other.tokens);
    double returns = other.returnMean - returnMean;
    double errors = other.errorMean - errorMean;
    return withCounts(
        this,
        other,
        returnMean + share * returns,
        returnSquares + other.returnSquares + returns * returns * share * tokens,
        errorMean + share * errors,
        errorSquares + other.errorSquares + errors * errors * share * tokens);
  }

  private static ValueLossMetrics withCounts(
      ValueLossMetrics a,
      ValueLossMetrics b,
      double returnMean,
      double returnSquares,
      double errorMean,
      double errorSquares) {
    return new ValueLossMetrics(
        a.loss + b.loss,
        a.tokens + b.tokens,
        a.clipped + b.clipped,
        a.valueSum + b.valueSum,
        returnMean,
        returnSquares,
        errorMean,
        errorSquares,
        a.nonFiniteRows + b.nonFiniteRows,
        a.firstNonFiniteRow >= 0 ? a.firstNonFiniteRow : b.firstNonFiniteRow);
  }
}
