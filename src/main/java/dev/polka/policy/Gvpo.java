package dev.polka.policy;

import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.Surrogate;
import dev.polka.kernel.TokenLayout;

/**
 * Group variance policy optimization (Zhang et al. 2025): within a group, differences of the reward
 * that the policy implies, beta D_i with D_i the sum of log-ratios of response i, are fitted to
 * differences of the rewards:
 *
 * <pre>{@code loss = sum_i 1 / (2 (n - 1)) (beta D_i - sg(mean_j beta D_j) - (R_i - mean_j R_j))^2}
 * </pre>
 *
 * <p>The group's mean of beta D is a constant for the gradient and needs the whole group, so it is
 * an input: {@link #targets} puts it into what {@link #loss} takes for advantages, and {@link
 * #weights} has the factor in front. With {@code Normalizer.sequences(groups, tokenCounts)} the
 * loss is the mean over groups; verl's recipe has the sum, {@code Normalizer.sequences(1,
 * tokenCounts)}.
 *
 * <p>Immutable and thread-safe.
 *
 * @param beta the scale of the implied reward, finite and > 0
 */
public record Gvpo(float beta) {
  /**
   * Checks beta.
   *
   * @param beta see the record
   * @throws IllegalArgumentException if it is not finite and > 0
   */
  public Gvpo {
    Check.positive("beta", beta);
  }

  /** {@return the loss, for the targets and weights below} */
  public PolicyLoss loss() {
    return PolicyLoss.sppo().withSurrogate(new Surrogate.Regression(beta));
  }

  /**
   * What each sequence's beta D is fitted to: its reward less the group's mean, and the group's
   * mean of beta D.
   *
   * @param layout the tokens of whole groups
   * @param groups its rows are the sequences of {@code layout}, its sequences the groups
   * @param logProb current log-probs, one per row
   * @param old old log-probs, one per row
   * @param rewards one per sequence
   * @return one per sequence, for {@code TokenBatch.withSequenceAdvantages}
   * @throws IllegalArgumentException if sizes do not fit each other
   */
  public float[] targets(
      TokenLayout layout, TokenLayout groups, double[] logProb, double[] old, double... rewards) {
    layout.requireRows("logProb", logProb.length);
    layout.requireRows("old", old.length);
    groups.requireRows("rewards", rewards.length);
    layout.requireSequences("rewards", rewards.length);
    double[] logRatio = new double[layout.rows()];
    for (int row = 0; row < logRatio.length; row++) {
      logRatio[row] = layout.counts(row) ? logProb[row] - old[row] : 0;
    }
    double[] implied = layout.sums(logRatio);
    double[] meanImplied = groups.means(implied);
    double[] meanReward = groups.means(rewards);
    float[] targets = new float[rewards.length];
    for (int g = 0; g < groups.sequences(); g++) {
      for (int i = groups.first(g); i < groups.end(g); i++) {
        targets[i] = (float) (rewards[i] - meanReward[g] + beta * meanImplied[g]);
      }
    }
    return targets;
  }

  /**
   * The factor 1 / (2 (n - 1)) of each token's sequence; 0 in a group of one, which has no
   * differences.
   *
   * @param layout the tokens
   * @param groups its rows are the sequences of {@code layout}, its sequences the groups
   * @return one per row, for {@code TokenBatch.withWeights}
   * @throws IllegalArgumentException if sizes do not fit each other
   */
  public float[] weights(TokenLayout layout, TokenLayout groups) {
    layout.requireSequences("groups", groups.rows());
    float[] weights = new float[layout.rows()];
    for (int g = 0; g < groups.sequences(); g++) {
      int n = groups.tokens(g);
      for (int i = groups.first(g); i < groups.end(g); i++) {
        for (int row = layout.first(i); row < layout.end(i); row++) {
          weights[row] = n > 1 ? (float) (0.5 / (n - 1)) : 0;
        }
      }
    }
    return weights;
  }
}
