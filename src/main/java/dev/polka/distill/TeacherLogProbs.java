package dev.polka.distill;

import dev.polka.kernel.TokenLayout;

/**
 * What one teacher says of the sampled tokens, how much it weighs, and which rows it teaches.
 *
 * <p>Immutable; arrays are copied. Thread-safe.
 */
public final class TeacherLogProbs {
  private final double[] perRow;
  private final double weight;
  private final boolean[] rows; // null: all

  private TeacherLogProbs(double[] perRow, double weight, boolean[] rows) {
    this.perRow = perRow;
    this.weight = weight;
    this.rows = rows;
  }

  /**
   * A teacher of all rows, with weight 1.
   *
   * @param perRow its log-prob of each row's sampled token
   * @return the teacher
   */
  public static TeacherLogProbs of(double... perRow) {
    return new TeacherLogProbs(perRow.clone(), 1, null);
  }

  /**
   * Weighs the teacher. Weights of several teachers are taken as they are, not normalised.
   *
   * @param weight its factor
   * @return the teacher with it
   * @throws IllegalArgumentException if {@code weight} is not finite and >= 0
   */
  public TeacherLogProbs withWeight(double weight) {
    return new TeacherLogProbs(perRow, Check.notNegative("weight", weight), rows);
  }

  /**
   * Keeps the teacher to some rows: those of its task, say. Its log-probs of others are not read.
   *
   * @param rows one per row
   * @return the teacher with them
   * @throws IllegalArgumentException if there is not one per log-prob
   */
  public TeacherLogProbs withRows(boolean... rows) {
    if (rows.length != perRow.length) {
      throw new IllegalArgumentException(
          "rows: has " + rows.length + " elements, " + perRow.length + " (one per row) are needed");
    }
    return new TeacherLogProbs(perRow, weight, rows.clone());
  }

  double weight() {
    return weight;
  }

  void requireRows(TokenLayout layout) {
    layout.requireRows("teacher", perRow.length);
  }

  boolean teaches(int row) {
    return weight != 0 && (rows == null || rows[row]);
  }

  double logProb(int row) {
    return SampledTokens.logProb("teacher", perRow, row);
  }
}
