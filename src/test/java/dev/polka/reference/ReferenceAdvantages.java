package dev.polka.reference;

import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;

/**
 * Advantages of whole batches by their definitions, in f64, on ragged arrays {@code
 * [sequence][token]} of the tokens that count, with the number of its group for each sequence. A
 * group of one keeps its raw reward, as in verl.
 */
public final class ReferenceAdvantages {
  private ReferenceAdvantages() {}

  private static double[] members(double[] rewards, int[] group, int i) {
    return IntStream.range(0, rewards.length)
        .filter(j -> group[j] == group[i])
        .mapToDouble(j -> rewards[j])
        .toArray();
  }

  /** Each sequence's number for each of its tokens. */
  public static double[][] spread(double[] perSequence, int[] lengths) {
    double[][] perToken = new double[lengths.length][];
    for (int i = 0; i < lengths.length; i++) {
      perToken[i] = new double[lengths[i]];
      Arrays.fill(perToken[i], perSequence[i]);
    }
    return perToken;
  }

  public static double[] centered(double[] rewards, int[] group) {
    double[] centered = new double[rewards.length];
    for (int i = 0; i < rewards.length; i++) {
      double[] own = members(rewards, group, i);
      centered[i] = rewards[i] - (own.length == 1 ? 0 : ReferenceGroupAdvantage.mean(own));
    }
    return centered;
  }

  public static double[] opo(double[] rewards, int[] group, int[] lengths) {
    double[] advantages = new double[rewards.length];
    double[] weights = Arrays.stream(lengths).asDoubleStream().toArray();
    for (int i = 0; i < rewards.length; i++) {
      double sum = 0;
      double total = 0;
      int count = 0;
      for (int j = 0; j < rewards.length; j++) {
        sum += group[j] == group[i] ? weights[j] * rewards[j] : 0;
        total += group[j] == group[i] ? weights[j] : 0;
        count += group[j] == group[i] ? 1 : 0;
      }
      advantages[i] = rewards[i] - (count == 1 ? 0 : sum / total);
    }
    return advantages;
  }

  public static double[] gpg(double[] rewards, int[] group) {
    long nonZero = Arrays.stream(rewards).filter(r -> r != 0).count();
    double alpha = rewards.length / (double) Math.max(nonZero, 1);
    return Arrays.stream(centered(rewards, group)).map(a -> alpha * a).toArray();
  }

  public static double[] passAtK(double[] rewards, int[] group, double epsilon) {
    double[] advantages = new double[rewards.length];
    for (int i = 0; i < rewards.length; i++) {
      double[] own = members(rewards, group, i);
      double[] sorted = own.clone();
      Arrays.sort(sorted);
      double lead = sorted[sorted.length - 1] - sorted[sorted.length - 2];
      boolean best = rewards[i] == sorted[sorted.length - 1];
      double std = Math.sqrt(ReferenceGroupAdvantage.variance(own, 1));
      advantages[i] = best ? lead / (std + epsilon) : 0;
    }
    return advantages;
  }

  /** By the variance over n - 1, 1e-8 in the root, over all tokens. */
  public static double[][] whitened(double[][] perToken) {
    double[] all = Arrays.stream(perToken).flatMapToDouble(Arrays::stream).toArray();
    double mean = ReferenceGroupAdvantage.mean(all);
    double root = Math.sqrt(ReferenceGroupAdvantage.variance(all, 1) + 1e-8);
    return map(perToken, x -> (x - mean) / root);
  }

  private static double[][] map(double[][] perToken, DoubleUnaryOperator f) {
    return Arrays.stream(perToken)
        .map(row -> Arrays.stream(row).map(f).toArray())
        .toArray(double[][]::new);
  }

  public static double[][] returns(double[][] rewards, double gamma) {
    ReferenceTokenReturns reference = new ReferenceTokenReturns(gamma, 1, 1);
    return Arrays.stream(rewards)
        .map(row -> reference.discounted(row, all(row.length), 0))
        .toArray(double[][]::new);
  }

  public static double[][] reMax(double[][] rewards, double[] greedy) {
    double[][] returns = returns(rewards, 1);
    for (int i = 0; i < returns.length; i++) {
      for (int t = 0; t < returns[i].length; t++) {
        returns[i][t] -= greedy[i];
      }
    }
    return returns;
  }

  public static double[][] gae(double[][] rewards, double[][] values, double gamma, double lambda) {
    ReferenceTokenReturns reference = new ReferenceTokenReturns(gamma, lambda, lambda);
    return IntStream.range(0, rewards.length)
        .mapToObj(i -> reference.advantages(rewards[i], values[i], all(rewards[i].length), 0))
        .toArray(double[][]::new);
  }

  /**
   * Position by position, from the returns and squared score norms of the answers that reach it.
   */
  public static double[][] optimalTokenBaseline(
      double[][] rewards, double[][] scoreNorms, int[] group) {
    double[][] returns = returns(rewards, 1);
    double[][] advantages = new double[returns.length][];
    for (int i = 0; i < returns.length; i++) {
      advantages[i] = new double[returns[i].length];
      for (int t = 0; t < returns[i].length; t++) {
        double weighted = 0;
        double total = 0;
        for (int k = 0; k < returns.length; k++) {
          if (group[k] == group[i] && t < returns[k].length) {
            double energy = Arrays.stream(scoreNorms[k], 0, t + 1).sum();
            weighted += energy * returns[k][t];
            total += energy;
          }
        }
        advantages[i][t] = returns[i][t] - weighted / total;
      }
    }
    return advantages;
  }

  private static boolean[] all(int length) {
    boolean[] all = new boolean[length];
    Arrays.fill(all, true);
    return all;
  }
}
