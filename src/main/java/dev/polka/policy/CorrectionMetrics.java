package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;

/**
 * How far the sampler is from the policy that trains. Means are over tokens; all are 0, and the
 * effective share 1, where no token counts. In brackets the name under {@code rollout_corr/} in
 * verl.
 *
 * @param meanWeight the mean weight of the tokens that stay [rollout_is_mean]
 * @param minWeight their smallest [rollout_is_min]
 * @param maxWeight their largest [rollout_is_max]
 * @param effectiveShare {@code 1 / mean((w / mean w)^2)}: the share of tokens that as many equal
 *     weights would come from [rollout_is_eff_sample_size]
 * @param fractionHigh the share of tokens whose weight is above its range
 *     [rollout_is_ratio_fraction_high]
 * @param fractionLow the same below [rollout_is_ratio_fraction_low]
 * @param normalizer what weights were divided by, 1 without that step
 *     [rollout_is_batch_norm_factor]
 * @param droppedTokens the share of tokens that do not stay [rollout_rs_masked_fraction]
 * @param droppedSequences the share of sequences with none that stays
 *     [rollout_rs_seq_masked_fraction]
 * @param kl the mean of {@code rollout - old}, k1 of KL(sampler || proximal policy) [kl]
 * @param k3 the mean of k3 of the same [k3_kl]
 */
public record CorrectionMetrics(
    double meanWeight,
    double minWeight,
    double maxWeight,
    double effectiveShare,
    double fractionHigh,
    double fractionLow,
    double normalizer,
    double droppedTokens,
    double droppedSequences,
    double kl,
    double k3) {

  /** Gathers them while the steps run. */
  static final class Builder {
    private long tokens;
    private long high;
    private long low;
    private double normalizer = 1;
    private double mean;
    private double min;
    private double max;
    private double effective = 1;
    private double droppedTokens;
    private double droppedSequences;
    private double kl;
    private double k3;

    void weigh(double raw, ImportanceWeight weight) {
      tokens++;
      if (weight != null) {
        high += raw > weight.high() ? 1 : 0;
        low += raw < weight.low() ? 1 : 0;
      }
    }

    void normalizedBy(double by) {
      normalizer = by;
    }

    void finish(TokenLayout all, TokenLayout kept, double[] weights) {
      double sum = 0;
      double squares = 0;
      double smallest = Double.POSITIVE_INFINITY;
      double largest = Double.NEGATIVE_INFINITY;
      for (int row = 0; row < weights.length; row++) {
        if (kept.counts(row)) {
          sum += weights[row];
          squares += weights[row] * weights[row];
          smallest = Math.min(smallest, weights[row]);
          largest = Math.max(largest, weights[row]);
        }
      }
      int left = kept.tokens();
      if (left > 0) {
        mean = sum / left;
        min = smallest;
        max = largest;
        effective = squares == 0 ? 1 : sum * sum / (left * squares);
      }
      droppedTokens = share(all.tokens() - left, all.tokens());
      droppedSequences = share(sequences(all) - sequences(kept), sequences(all));
    }

    private static long sequences(TokenLayout layout) {
      return Arrays.stream(layout.tokenCounts()).filter(count -> count > 0).count();
    }

    private static double share(double part, double whole) {
      return whole == 0 ? 0 : part / whole;
    }

    void divergences(TokenLayout layout, double[] k1Estimates, double[] k3Estimates) {
      kl = share(Arrays.stream(layout.sums(k1Estimates)).sum(), layout.tokens());
      k3 = share(Arrays.stream(layout.sums(k3Estimates)).sum(), layout.tokens());
    }

    CorrectionMetrics build() {
      return new CorrectionMetrics(
          mean,
          min,
          max,
          effective,
          share(high, tokens),
          share(low, tokens),
          normalizer,
          droppedTokens,
          droppedSequences,
          kl,
          k3);
    }
  }
}
