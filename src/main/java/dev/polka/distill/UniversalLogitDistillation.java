package dev.polka.distill;

import java.util.Arrays;

/**
 * Distillation between different vocabularies: compares how probabilities are spread, whatever
 * tokens they belong to.
 *
 * <pre>{@code
 * value = sum_i |p_(i) - q_(i)|,  p_(1) >= p_(2) >= ..., q likewise
 * }</pre>
 *
 * <p>with p the student's and q the teacher's probabilities at a temperature, the narrower
 * vocabulary padded by zeros: within [0, 2]. With {@code s_v} the sign of {@code p_(i) - q_(i)} at
 * the rank i of column v, the gradient for the student's logits is
 *
 * <pre>{@code d value / d z_v = p_v (s_v - sum_u p_u s_u) / temperature}</pre>
 *
 * <p>The value has kinks where ranks change or p and q are equal: there a sign of 0, and for
 * columns with the same probability the mean of their signs, which makes the gradient independent
 * of the order of columns. Which of the teacher's rows belongs to which of the student's is up to
 * the caller.
 *
 * <p>One row at a time, in f64 on the host, with a sort of both rows: for the modest numbers of
 * rows that distillation across tokenizers has. Source: ULD, Boizard et al. 2024, temperature 1;
 * TRL {@code experimental/gold} uses it for the tokens that the vocabularies do not share.
 *
 * <p>Immutable and thread-safe.
 *
 * @param temperature divides the logits of both
 */
public record UniversalLogitDistillation(double temperature) {
  /**
   * Checks the temperature.
   *
   * @param temperature see the record
   * @throws IllegalArgumentException if it is not finite and > 0
   */
  public UniversalLogitDistillation {
    Check.positive("temperature", temperature);
  }

  /**
   * Computes the value of one row.
   *
   * @param student the student's logits
   * @param teacher the teacher's, of any width
   * @return the value
   * @throws IllegalArgumentException if a logit is NaN or +inf, or all of a model are -inf
   */
  public double forward(double[] student, double[] teacher) {
    return value(
        ascending(HostSoftmax.of("student", student, temperature)),
        ascending(HostSoftmax.of("teacher", teacher, temperature)));
  }

  /**
   * Computes the value of one row and its gradient for the student's logits.
   *
   * @param student the student's logits
   * @param teacher the teacher's, of any width
   * @param weight what the gradient is multiplied by: the row's share of the loss
   * @param gradient written, one per column of the student
   * @return the value, not multiplied by the weight
   * @throws IllegalArgumentException if a logit is NaN or +inf, all of a model are -inf, {@code
   *     weight} is not finite, or the gradient is not of the student's width
   */
  public double forwardBackward(
      double[] student, double[] teacher, double weight, double[] gradient) {
    Check.finite("weight", weight);
    if (gradient.length != student.length) {
      throw new IllegalArgumentException(
          "gradient: has " + gradient.length + " columns, the student " + student.length);
    }
    double[] p = HostSoftmax.of("student", student, temperature);
    double[] ordered = ascending(p);
    double[] teachers = ascending(HostSoftmax.of("teacher", teacher, temperature));
    double[] signs = signs(ordered, teachers);
    double mean = 0;
    for (int v = 0; v < p.length; v++) {
      // Equal probabilities have equal signs: any of their ranks will do.
      gradient[v] = signs[Arrays.binarySearch(ordered, p[v])];
      mean += p[v] * gradient[v];
    }
    for (int v = 0; v < p.length; v++) {
      gradient[v] = weight * p[v] * (gradient[v] - mean) / temperature;
    }
    return value(ordered, teachers);
  }

  private static double[] ascending(double[] p) {
    double[] sorted = p.clone();
    Arrays.sort(sorted);
    return sorted;
  }

  /** The element at a distance from the largest, the last; 0 beyond the smallest. */
  private static double fromLargest(double[] ascending, int rank) {
    return rank < ascending.length ? ascending[ascending.length - 1 - rank] : 0;
  }

  private static double value(double[] p, double[] q) {
    double sum = 0;
    for (int rank = Math.max(p.length, q.length) - 1; rank >= 0; rank--) {
      sum += Math.abs(fromLargest(p, rank) - fromLargest(q, rank));
    }
    return sum;
  }

  /** Of each element of {@code p}, which ascends; the mean over those that are equal. */
  private static double[] signs(double[] p, double[] q) {
    double[] signs = new double[p.length];
    int from = 0;
    while (from < p.length) {
      int to = from;
      double sum = 0;
      while (to < p.length && p[to] == p[from]) {
        sum += Math.signum(p[to] - fromLargest(q, p.length - 1 - to));
        to++;
      }
      Arrays.fill(signs, from, to, sum / (to - from));
      from = to;
    }
    return signs;
  }
}
