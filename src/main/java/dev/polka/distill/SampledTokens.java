package dev.polka.distill;

import dev.polka.kernel.TokenLayout;

/** Arithmetic over the log-probs of the tokens that were sampled. */
final class SampledTokens {
  private SampledTokens() {}

  /** A log-prob of a row that counts; a sampled token that is impossible teaches nothing. */
  static double logProb(String name, double[] perRow, int row) {
    if (!Double.isFinite(perRow[row])) {
      throw new IllegalArgumentException(
          name + ": " + perRow[row] + " at row " + row + " is not finite");
    }
    return perRow[row];
  }

  /** {@code T - S} where a row counts, else 0. */
  static double[] gaps(TokenLayout layout, double[] student, double[] teacher) {
    layout.requireRows("student", student.length);
    layout.requireRows("teacher", teacher.length);
    double[] gaps = new double[layout.rows()];
    for (int row = 0; row < gaps.length; row++) {
      if (layout.counts(row)) {
        gaps[row] = logProb("teacher", teacher, row) - logProb("student", student, row);
      }
    }
    return gaps;
  }

  /**
   * {@code sum_{k >= t} discount^(k - t) x_k} over the rows that count, by position among those;
   * else 0.
   */
  static double[] discountedFuture(TokenLayout layout, double[] perRow, double discount) {
    double[] sums = new double[layout.rows()];
    for (int b = 0; b < layout.sequences(); b++) {
      double sum = 0;
      for (int row = layout.end(b) - 1; row >= layout.first(b); row--) {
        if (layout.counts(row)) {
          sum = perRow[row] + discount * sum;
          sums[row] = sum;
        }
      }
    }
    return sums;
  }
}
