package dev.polka.reward;

import java.util.Arrays;

/**
 * Mean and variance of all rewards so far, without keeping them: Welford 1962, and Chan et al. 1979
 * to put two of them together, so that replicas count apart and merge (ROLL {@code
 * RunningMoments}). NaN rewards are left out.
 *
 * <p>Immutable and thread-safe.
 *
 * @param count rewards that counted
 * @param mean their mean; 0 for none
 * @param squares the sum of their squared deviations from it
 */
public record RunningMoments(long count, double mean, double squares) {
  /** Nothing yet. */
  public static final RunningMoments NONE = new RunningMoments(0, 0, 0);

  /**
   * Checks the fields, which may come from a checkpoint.
   *
   * @param count see the record
   * @param mean see the record
   * @param squares see the record
   * @throws IllegalArgumentException if count or squares is negative, or one not finite
   */
  public RunningMoments {
    if (count < 0 || !Double.isFinite(mean) || !(squares >= 0) || Double.isInfinite(squares)) {
      throw new IllegalArgumentException(
          "moments: count " + count + ", mean " + mean + ", squares " + squares);
    }
  }

  /**
   * {@return the moments with more rewards}
   *
   * @param rewards any number; NaN is left out
   * @throws IllegalArgumentException if one is infinite
   */
  public RunningMoments plus(double... rewards) {
    long n = count;
    double m = mean;
    double s = squares;
    for (int i = 0; i < rewards.length; i++) {
      if (Double.isInfinite(rewards[i])) {
        throw new IllegalArgumentException("rewards: reward " + i + " is " + rewards[i]);
      }
      if (!Double.isNaN(rewards[i])) {
        n++;
        double deviation = rewards[i] - m;
        m += deviation / n;
        s += deviation * (rewards[i] - m);
      }
    }
    return new RunningMoments(n, m, s);
  }

  /**
   * {@return the moments of both together}
   *
   * @param other those of other rewards
   */
  public RunningMoments plus(RunningMoments other) {
    long n = Math.addExact(count, other.count);
    if (n == 0) {
      return NONE;
    }
    double share = (double) other.count / n;
    double apart = other.mean - mean;
    return new RunningMoments(
        n, mean + apart * share, squares + other.squares + apart * apart * share * count);
  }

  /** {@return the variance over n - 1; 0 for less than two rewards} */
  public double variance() {
    return count < 2 ? 0 : squares / (count - 1);
  }

  /** {@return the root of {@link #variance}} */
  public double std() {
    return Math.sqrt(variance());
  }

  /**
   * Rewards by these moments: {@code (R - mean) / (std + epsilon)}.
   *
   * @param epsilon keeps the division away from 0; 1e-6 in ROLL
   * @param rewards one per response; NaN stays NaN
   * @return new rewards
   * @throws IllegalArgumentException if {@code epsilon} is not finite and > 0
   */
  public double[] normalized(double epsilon, double... rewards) {
    if (!(epsilon > 0) || epsilon == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException("epsilon: " + epsilon + " is not finite and > 0");
    }
    double divisor = std() + epsilon;
    return Arrays.stream(rewards).map(reward -> (reward - mean) / divisor).toArray();
  }
}
