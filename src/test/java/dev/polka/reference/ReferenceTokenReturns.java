package dev.polka.reference;

import java.util.stream.IntStream;

/**
 * Returns and advantages of one sequence by the sums that define them, each token anew: O(T^2) in
 * f64, over the tokens that are not masked.
 */
public record ReferenceTokenReturns(double gamma, double lambda, double valueLambda) {

  /** {@code sum_k gamma^k r_(t+k)}, and what the bootstrap value adds. */
  public double[] discounted(double[] rewards, boolean[] mask, double bootstrap) {
    int[] rows = rows(mask);
    double[] returns = new double[rewards.length];
    for (int k = 0; k < rows.length; k++) {
      double sum = Math.pow(gamma, rows.length - k) * bootstrap;
      for (int t = k; t < rows.length; t++) {
        sum += Math.pow(gamma, t - k) * rewards[rows[t]];
      }
      returns[rows[k]] = sum;
    }
    return returns;
  }

  /** {@code sum_k (gamma lambda)^k delta_(t+k)}. */
  public double[] advantages(double[] rewards, double[] values, boolean[] mask, double bootstrap) {
    return sums(lambda, rewards, values, mask, bootstrap);
  }

  /** {@code V_t + sum_k (gamma valueLambda)^k delta_(t+k)}. */
  public double[] targets(double[] rewards, double[] values, boolean[] mask, double bootstrap) {
    double[] targets = sums(valueLambda, rewards, values, mask, bootstrap);
    for (int row : rows(mask)) {
      targets[row] += values[row];
    }
    return targets;
  }

  private double[] sums(
      double trace, double[] rewards, double[] values, boolean[] mask, double bootstrap) {
    int[] rows = rows(mask);
    double[] sums = new double[rewards.length];
    for (int k = 0; k < rows.length; k++) {
      for (int t = k; t < rows.length; t++) {
        double next = t + 1 < rows.length ? values[rows[t + 1]] : bootstrap;
        double delta = rewards[rows[t]] + gamma * next - values[rows[t]];
        sums[rows[k]] += Math.pow(gamma * trace, t - k) * delta;
      }
    }
    return sums;
  }

  private static int[] rows(boolean[] mask) {
    return IntStream.range(0, mask.length).filter(t -> mask[t]).toArray();
  }
}
