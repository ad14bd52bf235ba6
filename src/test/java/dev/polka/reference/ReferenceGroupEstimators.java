package dev.polka.reference;

import static dev.polka.reference.ReferenceGroupAdvantage.mean;
import static dev.polka.reference.ReferenceGroupAdvantage.variance;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * The less common group estimators by their definitions, in f64: each reward is compared with a
 * list of the others made for it. For groups of finite rewards that are not all equal.
 */
public final class ReferenceGroupEstimators {
  private ReferenceGroupEstimators() {}

  private static double[] others(double[] rewards, int i) {
    return IntStream.range(0, rewards.length)
        .filter(j -> j != i)
        .mapToDouble(j -> rewards[j])
        .toArray();
  }

  /** Mean and standard deviation of the others; undivided where those are all equal. */
  public static double[] leaveOneOut(double epsilon, double... rewards) {
    double[] advantages = new double[rewards.length];
    for (int i = 0; i < rewards.length; i++) {
      double[] others = others(rewards, i);
      boolean equal = Arrays.stream(others).allMatch(r -> r == others[0]);
      double divisor = equal ? 1 : Math.sqrt(variance(others, 1)) + epsilon;
      advantages[i] = (rewards[i] - mean(others)) / divisor;
    }
    return advantages;
  }

  public static double[] opo(double[] weights, double... rewards) {
    double product =
        IntStream.range(0, rewards.length).mapToDouble(i -> weights[i] * rewards[i]).sum();
    double baseline = product / Arrays.stream(weights).sum();
    return Arrays.stream(rewards).map(r -> r - baseline).toArray();
  }

  public static double[] softMean(double beta, double... rewards) {
    double powers = Arrays.stream(rewards).map(r -> Math.exp(beta * r)).sum();
    double baseline = Math.log(powers / rewards.length) / beta;
    return Arrays.stream(rewards).map(r -> r - baseline).toArray();
  }

  public static double[] maxRl(double... rewards) {
    double mean = mean(rewards);
    return Arrays.stream(rewards).map(r -> mean > 0 ? (r - mean) / mean : 0).toArray();
  }

  /** The lead of the best over the others; without a single best nothing. */
  public static double[] passAtK(double epsilon, double... rewards) {
    double[] advantages = new double[rewards.length];
    for (int i = 0; i < rewards.length; i++) {
      double lead = rewards[i] - Arrays.stream(others(rewards, i)).max().orElseThrow();
      advantages[i] = lead > 0 ? lead / (Math.sqrt(variance(rewards, 1)) + epsilon) : 0;
    }
    return advantages;
  }
}
