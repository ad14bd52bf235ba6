package dev.polka.policy;

import dev.polka.kernel.Groups;
import dev.polka.kernel.TokenLayout;
import java.util.Arrays;
import java.util.Objects;

/**
 * The rewards of a batch and what estimators compare them with, on the host, in f64. Sequences of a
 * group stand one after the other.
 *
 * <p>A reward belongs to a sequence as a whole, to its tokens, or both: the reward of a token is
 * what {@link #withTokenRewards} says, such as minus a KL penalty, and that of the sequence is
 * added at the last token that counts. The outcome of a sequence is the sum of both. A NaN reward
 * means that there is none: the sequence is left out of all statistics and gets advantage 0.
 *
 * <p>Immutable; arrays are copied. Thread-safe.
 */
public final class RewardBatch {
  private final TokenLayout layout;
  private final double[] rewards;
  private final double[] tokenRewards; // null: zeros
  private final Groups groups;
  private final double[] values;
  private final double[] bootstrap;
  private final double[] greedyRewards;
  private final double[][] components;
  private final double[] scoreNorms;

  private RewardBatch(Parts parts) {
    this.layout = Objects.requireNonNull(parts.layout, "layout");
    this.rewards = parts.rewards;
    this.tokenRewards = parts.tokenRewards;
    this.groups = parts.groups;
    this.values = parts.values;
    this.bootstrap = parts.bootstrap;
    this.greedyRewards = parts.greedyRewards;
    this.components = parts.components;
    this.scoreNorms = parts.scoreNorms;
  }

  /** What a batch is made of, while it is made. */
  private static final class Parts {
    TokenLayout layout;
    double[] rewards;
    double[] tokenRewards;
    Groups groups;
    double[] values;
    double[] bootstrap;
    double[] greedyRewards;
    double[][] components;
    double[] scoreNorms;
  }

  private Parts parts() {
    Parts parts = new Parts();
    parts.layout = layout;
    parts.rewards = rewards;
    parts.tokenRewards = tokenRewards;
    parts.groups = groups;
    parts.values = values;
    parts.bootstrap = bootstrap;
    parts.greedyRewards = greedyRewards;
    parts.components = components;
    parts.scoreNorms = scoreNorms;
    return parts;
  }

  /**
   * One reward per sequence.
   *
   * @param layout the tokens
   * @param rewards one per sequence
   * @return the batch
   * @throws IllegalArgumentException if there is not one per sequence, or one is infinite
   */
  public static RewardBatch of(TokenLayout layout, double... rewards) {
    layout.requireSequences("rewards", rewards.length);
    requireNoInfinity("rewards", "sequence", rewards);
    Parts parts = new Parts();
    parts.layout = layout;
    parts.rewards = rewards.clone();
    return new RewardBatch(parts);
  }

  /**
   * Rewards of tokens alone: {@code of(layout, 0, 0, ...).withTokenRewards(tokenRewards)}.
   *
   * @param layout the tokens
   * @param tokenRewards one per row; what stands at rows that do not count is not read
   * @return the batch
   * @throws IllegalArgumentException if there is not one per row, or one is infinite
   */
  public static RewardBatch ofTokens(TokenLayout layout, double... tokenRewards) {
    return of(layout, new double[layout.sequences()]).withTokenRewards(tokenRewards);
  }

  /**
   * Several rewards per sequence, for {@link Gdpo}; their sum is the reward of other estimators.
   *
   * @param layout the tokens
   * @param components {@code [k][sequence]}
   * @return the batch
   * @throws IllegalArgumentException if there is no component, a component does not have one per
   *     sequence, or a reward is infinite
   */
  public static RewardBatch ofComponents(TokenLayout layout, double[]... components) {
    if (components.length == 0) {
      throw new IllegalArgumentException("components: there are none, at least 1 is needed");
    }
    double[] sums = new double[layout.sequences()];
    double[][] copies = new double[components.length][];
    for (int k = 0; k < components.length; k++) {
      layout.requireSequences("components[" + k + "]", components[k].length);
      requireNoInfinity("components[" + k + "]", "sequence", components[k]);
      copies[k] = components[k].clone();
      for (int b = 0; b < sums.length; b++) {
        sums[b] += components[k][b];
      }
    }
    Parts parts = of(layout, sums).parts();
    parts.components = copies;
    return new RewardBatch(parts);
  }

  /**
   * Adds rewards of tokens, such as {@code -beta KL_t} (PPO with the KL in the reward).
   *
   * @param tokenRewards one per row; what stands at rows that do not count is not read
   * @return the batch with them
   * @throws IllegalArgumentException if there is not one per row, or one is infinite
   */
  public RewardBatch withTokenRewards(double... tokenRewards) {
    layout.requireRows("tokenRewards", tokenRewards.length);
    Parts parts = parts();
    parts.tokenRewards = tokenRewards.clone();
    for (int row = 0; row < tokenRewards.length; row++) {
      parts.tokenRewards[row] = layout.counts(row) ? tokenRewards[row] : 0;
    }
    requireNoInfinity("tokenRewards", "row", parts.tokenRewards);
    return new RewardBatch(parts);
  }

  /**
   * Says which sequences answer the same prompt.
   *
   * @param groups groups of sequences
   * @return the batch with them
   */
  public RewardBatch withGroups(Groups groups) {
    Parts parts = parts();
    parts.groups = Objects.requireNonNull(groups, "groups");
    return new RewardBatch(parts);
  }

  /**
   * Adds a value model's estimates, for {@link Gae}.
   *
   * @param values one per row: the return expected from before the token on
   * @return the batch with them
   * @throws IllegalArgumentException if there is not one per row
   */
  public RewardBatch withValues(double... values) {
    layout.requireRows("values", values.length);
    Parts parts = parts();
    parts.values = values.clone();
    return new RewardBatch(parts);
  }

  /**
   * Adds the value after the last token of each sequence, for sequences that were cut off; 0 unless
   * given.
   *
   * @param bootstrap one per sequence
   * @return the batch with them
   * @throws IllegalArgumentException if there is not one per sequence
   */
  public RewardBatch withBootstrap(double... bootstrap) {
    layout.requireSequences("bootstrap", bootstrap.length);
    Parts parts = parts();
    parts.bootstrap = bootstrap.clone();
    return new RewardBatch(parts);
  }

  /**
   * Adds the reward of the greedy answer to the prompt of each sequence, for {@link ReMax}.
   *
   * @param greedyRewards one per sequence
   * @return the batch with them
   * @throws IllegalArgumentException if there is not one per sequence
   */
  public RewardBatch withGreedyRewards(double... greedyRewards) {
    layout.requireSequences("greedyRewards", greedyRewards.length);
    Parts parts = parts();
    parts.greedyRewards = greedyRewards.clone();
    return new RewardBatch(parts);
  }

  /**
   * Adds the squared norm of each token's score, the gradient of its log-prob for the logits, for
   * {@link OptimalTokenBaseline}: {@code 1 - 2 p_t + sum_v p_v^2}. Both come from {@code
   * LogProb.withSumP2()} under the policy that sampled.
   *
   * @param logProb one per row: {@code ln p_t}
   * @param sumP2 one per row: the sum of all squared probabilities
   * @return the batch with them
   * @throws IllegalArgumentException if there is not one of each per row
   */
  public RewardBatch withScoreNorms(double[] logProb, double[] sumP2) {
    layout.requireRows("logProb", logProb.length);
    layout.requireRows("sumP2", sumP2.length);
    Parts parts = parts();
    parts.scoreNorms = new double[logProb.length];
    // Rounding can take the norm of a nearly certain token below 0.
    Arrays.setAll(parts.scoreNorms, t -> Math.max(1 - 2 * Math.exp(logProb[t]) + sumP2[t], 0));
    return new RewardBatch(parts);
  }

  /** {@return the tokens} */
  public TokenLayout layout() {
    return layout;
  }

  /** {@return the number of sequences} */
  public int sequences() {
    return layout.sequences();
  }

  /**
   * The sum of all rewards of each sequence.
   *
   * @return one per sequence; NaN where there is none
   */
  public double[] outcomes() {
    double[] outcomes = rewards.clone();
    if (tokenRewards != null) {
      double[] sums = layout.sums(tokenRewards);
      Arrays.setAll(outcomes, b -> rewards[b] + sums[b]);
    }
    return outcomes;
  }

  /**
   * The reward of each token, that of the sequence at its last token that counts.
   *
   * @return one per row, 0 where it does not count
   */
  public double[] tokenRewards() {
    double[] all = new double[layout.rows()];
    for (int b = 0; b < layout.sequences(); b++) {
      int last = -1;
      for (int row = layout.first(b); row < layout.end(b); row++) {
        if (layout.counts(row)) {
          all[row] = tokenRewards == null ? 0 : tokenRewards[row];
          last = row;
        }
      }
      if (last >= 0) {
        all[last] += rewards[b];
      }
    }
    return all;
  }

  /** The tokens of the sequences that have a reward. */
  TokenLayout rewarded() {
    return withoutNan(layout, outcomes());
  }

  /** The layout less the sequences whose number is NaN. */
  static TokenLayout withoutNan(TokenLayout layout, double[] perSequence) {
    if (Arrays.stream(perSequence).noneMatch(Double::isNaN)) {
      return layout;
    }
    boolean[] keep = new boolean[layout.rows()];
    for (int b = 0; b < perSequence.length; b++) {
      Arrays.fill(keep, layout.first(b), layout.end(b), !Double.isNaN(perSequence[b]));
    }
    return layout.keeping(keep);
  }

  /** A row for each number, of which those count that are not NaN. */
  static TokenLayout present(double[] numbers) {
    long[] ones = new long[numbers.length];
    boolean[] present = new boolean[numbers.length];
    for (int i = 0; i < numbers.length; i++) {
      ones[i] = 1;
      present[i] = !Double.isNaN(numbers[i]);
    }
    return TokenLayout.ofLengths(ones).withMask(present);
  }

  Groups groups() {
    return require(groups, "groups", "says which sequences answer the same prompt");
  }

  double[] values() {
    return require(values, "values", "gives a value model's estimates");
  }

  double[] bootstrapOrNull() {
    return bootstrap;
  }

  double[] greedyRewards() {
    return require(greedyRewards, "greedyRewards", "gives the rewards of greedy answers");
  }

  double[][] components() {
    if (components == null) {
      throw new IllegalArgumentException(
          "components: are missing; RewardBatch.ofComponents takes several rewards");
    }
    return components;
  }

  double[] scoreNorms() {
    return require(scoreNorms, "scoreNorms", "takes log-probs and sums of squared probabilities");
  }

  private static void requireNoInfinity(String name, String each, double[] values) {
    for (int i = 0; i < values.length; i++) {
      if (Double.isInfinite(values[i])) {
        throw new IllegalArgumentException(
            name + ": is " + values[i] + " for " + each + " " + i + "; none is NaN, not infinite");
      }
    }
  }

  private static <T> T require(T part, String name, String what) {
    if (part == null) {
      String method = "with" + Character.toUpperCase(name.charAt(0)) + name.substring(1);
      throw new IllegalArgumentException(
          name + ": are missing; RewardBatch." + method + " " + what);
    }
    return part;
  }
}
