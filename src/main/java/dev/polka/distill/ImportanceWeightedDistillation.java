package dev.polka.distill;

import dev.polka.kernel.TokenLayout;

/**
 * Importance-weighted on-policy distillation: early tokens weigh more, since a response drifts from
 * what the teacher knows the further it has disagreed.
 *
 * <pre>{@code
 * a_t = T_t - S_t
 * w_t = 1 + gamma (1 - sum_{k < t} |a_k| / sum_k |a_k|)
 * A_t = w_t a_t
 * }</pre>
 *
 * <p>over the tokens of the sequence that count. Weights fall from {@code 1 + gamma} at the first
 * token towards 1. In a sequence without any disagreement the share before each token is taken as
 * 0, so that every weight is {@code 1 + gamma}; its advantages are 0 whatever the weights.
 *
 * <p>Source: TRL {@code experimental/iw_opd}, gamma 0.5. TRL divides by at least 1e-8, here by the
 * sum as it is: it differs where a whole sequence disagrees by less. The loss, {@code -w_t a_t
 * log_prob_t}, is {@code PolicyLoss.reinforce()} with these advantages.
 *
 * <p>Immutable and thread-safe.
 *
 * @param gamma how much more the first token weighs
 */
public record ImportanceWeightedDistillation(double gamma) {
  /**
   * Checks gamma.
   *
   * @param gamma see the record
   * @throws IllegalArgumentException if it is not finite and >= 0
   */
  public ImportanceWeightedDistillation {
    Check.notNegative("gamma", gamma);
  }

  /**
   * Computes weights.
   *
   * @param layout the tokens
   * @param student log-probs under the policy that sampled, one per row
   * @param teacher the same under the teacher
   * @return one per row, within [1, 1 + gamma], 0 where it does not count
   * @throws IllegalArgumentException if sizes do not fit the layout, or a log-prob that counts is
   *     not finite
   */
  public double[] weights(TokenLayout layout, double[] student, double[] teacher) {
    return weights(layout, SampledTokens.gaps(layout, student, teacher));
  }

  /**
   * Computes weighted advantages.
   *
   * @param layout the tokens
   * @param student log-probs under the policy that sampled, one per row
   * @param teacher the same under the teacher
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if sizes do not fit the layout, or a log-prob that counts is
   *     not finite
   */
  public double[] advantages(TokenLayout layout, double[] student, double[] teacher) {
    double[] gaps = SampledTokens.gaps(layout, student, teacher);
    double[] weights = weights(layout, gaps);
    for (int row = 0; row < gaps.length; row++) {
      gaps[row] *= weights[row];
    }
    return gaps;
  }

  private double[] weights(TokenLayout layout, double[] gaps) {
    double[] weights = new double[gaps.length];
    for (int b = 0; b < layout.sequences(); b++) {
      double total = 0;
      for (int row = layout.first(b); row < layout.end(b); row++) {
        total += Math.abs(gaps[row]);
      }
      double before = 0;
      for (int row = layout.first(b); row < layout.end(b); row++) {
        if (layout.counts(row)) {
          weights[row] = 1 + gamma * (total > 0 ? 1 - before / total : 1);
          before += Math.abs(gaps[row]);
        }
      }
    }
    return weights;
  }
}
