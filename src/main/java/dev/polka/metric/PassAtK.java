package dev.polka.metric;

/**
 * The chance that at least one of k samples solves a problem, estimated without bias from n samples
 * of which c solved it: {@code 1 - C(n - c, k) / C(n, k)}, as a product that cannot overflow.
 * Taking {@code 1 - (1 - c / n)^k} instead is biased low.
 *
 * <p>Thread-safe. Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code".
 */
public final class PassAtK {
  private PassAtK() {}

  /**
   * Of one problem.
   *
   * @param samples n, at least 1
   * @param correct c, in [0, n]
   * @param k how many samples may be tried, in [1, n]
   * @return in [0, 1]
   * @throws IllegalArgumentException if a number is outside its range
   */
  public static double of(long samples, long correct, long k) {
    require(samples >= 1, "samples", samples, "at least 1");
    require(correct >= 0 && correct <= samples, "correct", correct, "in [0, " + samples + "]");
    require(k >= 1 && k <= samples, "k", k, "in [1, " + samples + "]");
    if (samples - correct < k) {
      return 1;
    }
    double allWrong = 1;
    for (long i = samples - correct + 1; i <= samples; i++) {
      allWrong *= 1 - (double) k / i;
    }
    return 1 - allWrong;
  }

  /**
   * The mean over problems.
   *
   * @param samples n of each problem
   * @param correct c of each problem, as many
   * @param k how many samples may be tried, at most the smallest n
   * @return in [0, 1]
   * @throws IllegalArgumentException if there is no problem, the lengths differ, or a number is
   *     outside its range
   */
  public static double mean(long[] samples, long[] correct, long k) {
    if (samples.length == 0 || samples.length != correct.length) {
      throw new IllegalArgumentException(
          "samples has "
              + samples.length
              + " problems and correct "
              + correct.length
              + "; both need the same number, at least 1");
    }
    double sum = 0;
    for (int i = 0; i < samples.length; i++) {
      sum += of(samples[i], correct[i], k);
    }
    return sum / samples.length;
  }

  private static void require(boolean holds, String name, long value, String limit) {
    if (!holds) {
      throw new IllegalArgumentException(name + " is " + value + "; it must be " + limit);
    }
  }
}
