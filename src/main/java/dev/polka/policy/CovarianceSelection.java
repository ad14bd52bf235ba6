package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * Chooses the tokens that lower the entropy most: those whose advantage and log-prob are both far
 * from their means, in the same direction. With the means over all tokens of the step that count,
 *
 * <pre>{@code cov_t = (A_t - mean A) (log_prob_t - mean log_prob)}</pre>
 *
 * <p>Clip-Cov drops such tokens from the policy term, KL-Cov pulls them back to the old policy (Cui
 * et al. 2025, "The entropy mechanism of reinforcement learning"). The means need the whole step,
 * and advantages as they are: scaled ones (SkyRL folds the loss's mean into them) never reach the
 * bounds of Clip-Cov.
 *
 * <p>The choice is a function of its inputs. Equal covariances go to the lower row; where verl
 * draws at random, a hash of seed and row decides.
 */
public final class CovarianceSelection {
  private final TokenLayout layout;
  private final double[] covariance;

  private CovarianceSelection(TokenLayout layout, double[] covariance) {
    this.layout = layout;
    this.covariance = covariance;
  }

  /**
   * Computes the covariance of each token.
   *
   * @param layout the tokens
   * @param logProb current log-probs, one per row
   * @param advantages one per row
   * @return what to select from
   * @throws IllegalArgumentException if there is not one of each per row
   */
  public static CovarianceSelection of(TokenLayout layout, double[] logProb, double[] advantages) {
    double meanLogProb = mean(layout, layout.sums(logProb));
    double meanAdvantage = mean(layout, layout.sums(advantages));
    double[] covariance = new double[layout.rows()];
    for (int row = 0; row < covariance.length; row++) {
      covariance[row] =
          layout.counts(row)
              ? (advantages[row] - meanAdvantage) * (logProb[row] - meanLogProb)
              : Double.NaN;
    }
    return new CovarianceSelection(layout, covariance);
  }

  private static double mean(TokenLayout layout, double[] sums) {
    return Arrays.stream(sums).sum() / Math.max(layout.tokens(), 1);
  }

  /**
   * Anchor weights for {@code PolicyLoss.klCov}: 1 for the tokens with the largest covariance.
   *
   * @param fraction the share of tokens to choose; at least one is. verl 2e-4, SkyRL 0.2
   * @return one per row
   * @throws IllegalArgumentException if {@code fraction} is not in (0, 1]
   */
  public float[] anchorWeights(double fraction) {
    float[] weights = new float[layout.rows()];
    counted()
        .sorted(Comparator.<Integer>comparingDouble(row -> -covariance[row]))
        .limit(share(fraction))
        .forEach(row -> weights[row] = 1);
    return weights;
  }

  /**
   * Weights for {@code PolicyLoss.clipCov}: 0 for some of the tokens whose covariance is between
   * two bounds, 1 for the others.
   *
   * @param fraction the share of tokens to drop at most; at least one may be. verl 2e-4
   * @param low lower bound of the covariance; verl 1
   * @param high upper bound of the covariance; verl 5
   * @param clipped tokens that the clip holds already, one per row, which are passed over
   * @param seed decides which of the candidates go
   * @return one per row
   * @throws IllegalArgumentException if {@code fraction} is not in (0, 1], or there is not one
   *     {@code clipped} per row
   */
  public float[] clipWeights(
      double fraction, double low, double high, boolean[] clipped, long seed) {
    layout.requireRows("clipped", clipped.length);
    float[] weights = new float[layout.rows()];
    Arrays.fill(weights, 1);
    counted()
        .filter(row -> covariance[row] > low && covariance[row] < high && !clipped[row])
        .sorted(Comparator.comparingLong(row -> hash(seed, row)))
        .limit(share(fraction))
        .forEach(row -> weights[row] = 0);
    return weights;
  }

  /** {@return the covariance of each token, NaN for rows that do not count} */
  public double[] covariance() {
    return covariance.clone();
  }

  private java.util.stream.Stream<Integer> counted() {
    return IntStream.range(0, layout.rows()).filter(layout::counts).boxed();
  }

  private long share(double fraction) {
    if (!(fraction > 0 && fraction <= 1)) {
      throw new IllegalArgumentException("fraction: " + fraction + " is not in (0, 1]");
    }
    return Math.max((long) (fraction * layout.tokens()), 1);
  }

  /** The finalizer of SplitMix64. */
  private static long hash(long seed, int row) {
    long z = seed + 0x9E3779B97F4A7C15L * (row + 1L);
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
