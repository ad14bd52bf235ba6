package dev.polka.distill;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;

/**
 * Adaptive KL: forward and reverse KL of each row, weighed by where student and teacher differ.
 *
 * <pre>{@code
 * tail   the teacher's least probable columns, of at most tailMass together;  head  the others
 * g      the sum of |p - q| over head or tail
 * loss   g_head / (g_head + g_tail) KL(q || p)  +  g_tail / (g_head + g_tail) KL(p || q)
 * }</pre>
 *
 * <p>with p the student's and q the teacher's distribution. Where the two are the same, up to
 * rounding ({@code g_head + g_tail <= 1e-12}), both weights are 1/2. Among equally probable columns
 * the first go to the tail. The weights are constants, computed in f64 on the host from a copy of
 * the logits; log-probs are logits too. They are for the rows of two divergences, {@code
 * Divergence.forwardKl()} with {@code Rows.all().withWeight(forward)} and {@code
 * Divergence.reverseKl()} with {@link #reverseWeights} of them, whose losses and gradients add up.
 * Source: Wu et al. 2024, "Rethinking Kullback-Leibler divergence in knowledge distillation for
 * large language models"; ROLL {@code adaptive_kl}, 0.5. ROLL divides 0 by 0 where the two are the
 * same.
 *
 * <p>Immutable and thread-safe.
 *
 * @param tailMass how much of the teacher's probability the tail has at most; 0.5 in ROLL
 * @param temperature divides the logits of both; that of the divergences
 */
public record AdaptiveKl(double tailMass, double temperature) {
  private static final double SAME = 1e-12;

  /**
   * Checks the options.
   *
   * @param tailMass see the record
   * @param temperature see the record
   * @throws IllegalArgumentException if {@code tailMass} is outside [0, 1], or {@code temperature}
   *     is not finite and > 0
   */
  public AdaptiveKl {
    Check.unit("tailMass", tailMass);
    Check.positive("temperature", temperature);
  }

  /**
   * Computes the weight of the forward KL of one row; that of the reverse KL is 1 minus it.
   *
   * @param student the student's logits
   * @param teacher the teacher's, of as many columns
   * @return the weight, within [0, 1]
   * @throws IllegalArgumentException if widths differ, a logit is NaN or +inf, or all are -inf
   */
  public double forwardWeight(double[] student, double[] teacher) {
    if (student.length != teacher.length) {
      throw new IllegalArgumentException(
          "teacher: has " + teacher.length + " columns, the student " + student.length);
    }
    double[] p = HostSoftmax.of("student", student, temperature);
    double[] q = HostSoftmax.of("teacher", teacher, temperature);
    boolean[] tail = tail(q);
    double headGap = 0;
    double tailGap = 0;
    for (int v = 0; v < q.length; v++) {
      double gap = Math.abs(p[v] - q[v]);
      headGap += tail[v] ? 0 : gap;
      tailGap += tail[v] ? gap : 0;
    }
    double both = headGap + tailGap;
    return both <= SAME ? 0.5 : headGap / both;
  }

  /**
   * Computes the weights of the forward KLs.
   *
   * @param layout which rows count
   * @param student logits, one array per row; those of rows that do not count may be null
   * @param teacher the same of the teacher
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if sizes do not fit the layout, or as {@link #forwardWeight}
   */
  public double[] forwardWeights(TokenLayout layout, double[][] student, double[][] teacher) {
    layout.requireRows("student", student.length);
    layout.requireRows("teacher", teacher.length);
    double[] weights = new double[layout.rows()];
    for (int row = 0; row < weights.length; row++) {
      weights[row] = layout.counts(row) ? forwardWeight(student[row], teacher[row]) : 0;
    }
    return weights;
  }

  /**
   * Computes the weights of the reverse KLs.
   *
   * @param layout which rows count
   * @param forward the weights of the forward KLs, one per row
   * @return {@code 1 - forward}, 0 where a row does not count
   * @throws IllegalArgumentException if there is not one per row
   */
  public static double[] reverseWeights(TokenLayout layout, double... forward) {
    layout.requireRows("forward", forward.length);
    double[] weights = new double[forward.length];
    for (int row = 0; row < weights.length; row++) {
      weights[row] = layout.counts(row) ? 1 - forward[row] : 0;
    }
    return weights;
  }

  private boolean[] tail(double[] q) {
    double[] ascending = q.clone();
    Arrays.sort(ascending);
    int size = 0;
    double mass = 0;
    while (size < ascending.length && mass + ascending[size] <= tailMass) {
      mass += ascending[size++];
    }
    boolean[] tail = new boolean[q.length];
    if (size == 0) {
      return tail;
    }
    double largest = ascending[size - 1];
    int equals = size;
    for (double each : q) {
      equals -= each < largest ? 1 : 0;
    }
    for (int v = 0; v < q.length; v++) {
      tail[v] = q[v] < largest || q[v] == largest && equals-- > 0;
    }
    return tail;
  }
}
