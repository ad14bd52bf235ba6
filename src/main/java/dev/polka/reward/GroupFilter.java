package dev.polka.reward;

import dev.polka.kernel.TokenLayout;

/**
 * Which groups are worth training on (DAPO, Yu et al. 2025, "dynamic sampling"): those whose
 * rewards differ, and whose prompts are neither too hard nor too easy. A group whose rewards are
 * all equal has advantages of 0 and only thins the batch; sample others in its place.
 *
 * <p>The standard deviation is over n, in f64; that of equal rewards is exactly 0. NaN rewards are
 * left out, and a group without any other is dropped. Give it rewards before shaping (NeMo-RL): a
 * penalty for length makes nearly every group differ.
 *
 * <p>Immutable and thread-safe.
 *
 * @param minStd groups need a standard deviation above this; negative for none needed. 0 in verl
 *     and NeMo-RL, 1e-6 in slime and SkyRL
 * @param low groups need a mean above this; negative infinity for none. 0 in ROLL
 * @param high groups need a mean below this; infinity for none. 1 in ROLL
 * @param singletons whether a group of one is kept though it cannot differ; so in verl
 */
public record GroupFilter(double minStd, double low, double high, boolean singletons) {
  /**
   * Checks the parameters.
   *
   * @param minStd see the record
   * @param low see the record
   * @param high see the record
   * @param singletons see the record
   * @throws IllegalArgumentException if one is NaN, or {@code low} not below {@code high}
   */
  public GroupFilter {
    if (Double.isNaN(minStd)) {
      throw new IllegalArgumentException("minStd: is NaN");
    }
    if (!(low < high)) {
      throw new IllegalArgumentException("mean: (" + low + ", " + high + ") is empty");
    }
  }

  /** {@return the filter that keeps groups whose rewards differ} verl, DAPO; tinker. */
  public static GroupFilter differing() {
    double open = Double.POSITIVE_INFINITY;
    return new GroupFilter(0, -open, open, false);
  }

  /**
   * Keeps groups with a mean strictly within a range (OpenRLHF {@code dynamic_filtering}, ROLL's
   * difficulty).
   *
   * @param low lower bound
   * @param high upper bound
   * @return the filter
   * @throws IllegalArgumentException if {@code low} is not below {@code high}
   */
  public static GroupFilter meanWithin(double low, double high) {
    return new GroupFilter(-1, low, high, false);
  }

  /**
   * {@return the filter with a bound of the standard deviation}
   *
   * @param value groups need more
   * @throws IllegalArgumentException if it is NaN
   */
  public GroupFilter withMinStd(double value) {
    return new GroupFilter(value, low, high, singletons);
  }

  /** {@return the filter that keeps groups of one, as far as their means allow} */
  public GroupFilter withSingletons() {
    return new GroupFilter(minStd, low, high, true);
  }

  /**
   * Judges each group.
   *
   * @param rewards one per response
   * @param groups its rows are the responses, its sequences the groups; a row that does not count
   *     is left out
   * @return whether each group is kept
   * @throws IllegalArgumentException if there is not one reward per row
   */
  public boolean[] keep(double[] rewards, TokenLayout groups) {
    groups.requireRows("rewards", rewards.length);
    boolean[] keep = new boolean[groups.sequences()];
    for (int g = 0; g < keep.length; g++) {
      keep[g] = keeps(rewards, groups, g);
    }
    return keep;
  }

  private boolean keeps(double[] rewards, TokenLayout groups, int g) {
    int n = 0;
    double sum = 0;
    double min = Double.POSITIVE_INFINITY;
    double max = Double.NEGATIVE_INFINITY;
    for (int i = groups.first(g); i < groups.end(g); i++) {
      if (groups.counts(i) && !Double.isNaN(rewards[i])) {
        n++;
        sum += rewards[i];
        min = Math.min(min, rewards[i]);
        max = Math.max(max, rewards[i]);
      }
    }
    if (n == 0) {
      return false;
    }
    // The mean of equal numbers need not be that number.
    double mean = min == max ? min : sum / n;
    double squares = 0;
    for (int i = groups.first(g); i < groups.end(g); i++) {
      if (groups.counts(i) && !Double.isNaN(rewards[i])) {
        squares += (rewards[i] - mean) * (rewards[i] - mean);
      }
    }
    boolean differs = Math.sqrt(squares / n) > minStd || n == 1 && singletons;
    return differs && mean > low && mean < high;
  }
}
