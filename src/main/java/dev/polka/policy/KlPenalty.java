package dev.polka.policy;

import dev.polka.kernel.TokenLayout;

/**
 * A KL penalty that is part of the reward, and so has no gradient of its own. The estimates of each
 * token come from {@code dev.polka.kernel.TokenKl}: k1, {@code log_prob - reference}, in nearly all
 * systems. OpenRLHF and AReaL hold them within [-10, 10], which is up to the caller.
 *
 * <p>A penalty in the loss is {@code PolicyLoss.withKl}; its gradient is another one (see {@code
 * KlGradient}).
 *
 * <p>Immutable and thread-safe.
 *
 * @param coefficient what the KL is multiplied by
 */
public record KlPenalty(double coefficient) {
  /**
   * Checks the coefficient.
   *
   * @param coefficient see the record
   * @throws IllegalArgumentException if it is not finite
   */
  public KlPenalty {
    Check.finite("coefficient", coefficient);
  }

  /**
   * Rewards of tokens: {@code r_t = -coefficient kl_t}, plus the sequence's score at its last token
   * that counts (verl {@code apply_kl_penalty}, OpenRLHF, slime, AReaL, ROLL). For token returns.
   *
   * @param layout the tokens
   * @param scores one per sequence; that of a sequence without a token is dropped
   * @param kl one per row
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if sizes do not fit the layout
   */
  public double[] tokenRewards(TokenLayout layout, double[] scores, double[] kl) {
    layout.requireSequences("scores", scores.length);
    layout.requireRows("kl", kl.length);
    double[] rewards = new double[layout.rows()];
    for (int b = 0; b < layout.sequences(); b++) {
      boolean last = true;
      for (int row = layout.end(b) - 1; row >= layout.first(b); row--) {
        if (layout.counts(row)) {
          rewards[row] = (last ? scores[b] : 0) - coefficient * kl[row];
          last = false;
        }
      }
    }
    return rewards;
  }

  /**
   * Rewards of sequences: {@code R - coefficient sum_t kl_t} (TRL RLOO, 0.05). For group
   * advantages.
   *
   * @param layout the tokens
   * @param scores one per sequence
   * @param kl one per row
   * @return one per sequence
   * @throws IllegalArgumentException if sizes do not fit the layout
   */
  public double[] sequenceRewards(TokenLayout layout, double[] scores, double[] kl) {
    layout.requireSequences("scores", scores.length);
    double[] rewards = layout.sums(kl);
    for (int b = 0; b < rewards.length; b++) {
      rewards[b] = scores[b] - coefficient * rewards[b];
    }
    return rewards;
  }

  /**
   * Advantages with a penalty whose mean is 0: {@code A_t + coefficient (mean kl - kl_t)}, the mean
   * over all tokens of the step that count, so that the penalty moves no baseline (tinker {@code
   * incorporate_kl_penalty}). Needs the whole step.
   *
   * @param layout the tokens
   * @param advantages one per row
   * @param kl one per row
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if sizes do not fit the layout
   */
  public double[] centredAdvantages(TokenLayout layout, double[] advantages, double[] kl) {
    layout.requireRows("advantages", advantages.length);
    double sum = 0;
    for (double ofSequence : layout.sums(kl)) {
      sum += ofSequence;
    }
    double mean = sum / Math.max(layout.tokens(), 1);
    double[] centred = new double[layout.rows()];
    for (int row = 0; row < centred.length; row++) {
      centred[row] = layout.counts(row) ? advantages[row] + coefficient * (mean - kl[row]) : 0;
    }
    return centred;
  }
}
