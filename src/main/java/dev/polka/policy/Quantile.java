package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;

/**
 * Quantiles of a value over all tokens that count, with linear interpolation between neighbours
 * (the default of NumPy and PyTorch).
 */
public final class Quantile {
  private Quantile() {}

  /**
   * The entropy that a token must have to be among the most uncertain, for {@code
   * PolicyLoss.withEntropyThreshold}: the quantile of order {@code 1 - share} (Wang et al. 2025;
   * TRL {@code top_entropy_quantile} is the share). Over the whole step; combine the entropies of
   * all micro-batches first.
   *
   * @param layout the tokens
   * @param entropy one per row
   * @param share the share of tokens to keep, in (0, 1]; the paper has 0.2
   * @return the threshold; 0, which keeps all, for a share of 1 or where no token counts
   * @throws IllegalArgumentException if {@code share} is not in (0, 1], or there is not one entropy
   *     per row
   */
  public static float entropyThreshold(TokenLayout layout, double[] entropy, double share) {
    if (!(share > 0 && share <= 1)) {
      throw new IllegalArgumentException("share: " + share + " is not in (0, 1]");
    }
    if (share == 1 || layout.tokens() == 0) {
      return 0;
    }
    return (float) of(layout, entropy, 1 - share);
  }

  /**
   * The quantile of a value.
   *
   * @param layout the tokens
   * @param values one per row
   * @param order in [0, 1]: 0.5 is the median
   * @return the value below which that share of the tokens lies; NaN where no token counts
   * @throws IllegalArgumentException if {@code order} is not in [0, 1], or there is not one value
   *     per row
   */
  public static double of(TokenLayout layout, double[] values, double order) {
    layout.requireRows("values", values.length);
    if (!(order >= 0 && order <= 1)) {
      throw new IllegalArgumentException("order: " + order + " is not in [0, 1]");
    }
    double[] sorted = new double[layout.tokens()];
    int n = 0;
    for (int row = 0; row < values.length; row++) {
      if (layout.counts(row)) {
        sorted[n++] = values[row];
      }
    }
    if (n == 0) {
      return Double.NaN;
    }
    Arrays.sort(sorted);
    double place = order * (n - 1);
    int below = (int) place;
    int above = Math.min(below + 1, n - 1);
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
  }
}
