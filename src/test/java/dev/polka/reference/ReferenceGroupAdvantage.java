package dev.polka.reference;

import java.util.Arrays;

/**
 * Advantages of one group of rewards, two-pass f64. NaN rewards stand outside and get 0; a group
 * whose finite rewards are all equal gets 0, except that one finite reward makes a singleton.
 */
public record ReferenceGroupAdvantage(
    boolean leaveOneOut, Scale scale, double epsilon, boolean epsilonInSqrt, boolean singletonRaw) {
  public enum Scale {
    NONE,
    UNBIASED,
    BIASED
  }

  public double[] of(double... rewards) {
    double[] finite = Arrays.stream(rewards).filter(r -> !Double.isNaN(r)).toArray();
    double[] advantages = new double[rewards.length];
    boolean raw = finite.length == 1 && singletonRaw;
    if (!raw && (finite.length < 2 || equal(finite))) {
      return advantages;
    }
    double mean = raw ? 0 : mean(finite);
    double variance = raw ? 1 : variance(finite, scale == Scale.BIASED ? 0 : 1);
    double divisor =
        scale == Scale.NONE
            ? 1
            : epsilonInSqrt ? Math.sqrt(variance + epsilon) : Math.sqrt(variance) + epsilon;
    for (int i = 0; i < rewards.length; i++) {
      double others = raw ? 0 : (mean * finite.length - rewards[i]) / (finite.length - 1);
      advantages[i] =
          Double.isNaN(rewards[i]) ? 0 : (rewards[i] - (leaveOneOut ? others : mean)) / divisor;
    }
    return advantages;
  }

  public static double mean(double... values) {
    return Arrays.stream(values).sum() / values.length;
  }

  /** Over {@code n - correction}. */
  public static double variance(double[] values, int correction) {
    double mean = mean(values);
    return Arrays.stream(values).map(v -> (v - mean) * (v - mean)).sum()
        / (values.length - correction);
  }

  private static boolean equal(double[] values) {
    return Arrays.stream(values).allMatch(v -> v == values[0]);
  }
}
