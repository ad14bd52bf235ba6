package dev.polka.conformance;

import dev.polka.kernel.Logits;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Logits with wanted log-probs and entropies, for vectors that hold log-probs alone. A vector's
 * log-prob need not be one that a distribution can have (some are positive), so a row's log-probs,
 * old, current and reference, may be moved by a common shift: objectives see their differences
 * only, or the log-prob itself times a constant.
 *
 * <p>A row has the target at column 0 and spreads the rest of the mass over 63 columns with logits
 * that fall linearly; the fall is chosen by bisection so that the entropy is the wanted one.
 */
record FusedRows(Logits logits, double[] logProb, double[] shift) {
  private static final int COLUMNS = 64;
  private static final double HIGHEST = -0.05;

  /** So steep a fall that one column has all of the rest. */
  private static final double STEEP = 60;

  static FusedRows of(double[] wantedLogProb, double[] wantedEntropy, boolean[] counts) {
    float[] values = new float[wantedLogProb.length * COLUMNS];
    double[] logProb = new double[wantedLogProb.length];
    double[] shift = new double[wantedLogProb.length];
    for (int r = 0; r < logProb.length; r++) {
      double entropy = wantedEntropy == null ? 1 : wantedEntropy[r];
      double wanted = counts[r] ? wantedLogProb[r] : -1;
      logProb[r] = reachable(wanted, counts[r] ? entropy : 1);
      shift[r] = wanted - logProb[r];
      double[] row = row(logProb[r], counts[r] ? entropy : 1);
      for (int j = 0; j < COLUMNS; j++) {
        values[r * COLUMNS + j] = (float) row[j];
      }
    }
    return new FusedRows(Logits.of(Storage.F32, logProb.length, COLUMNS, values), logProb, shift);
  }

  /** The given rows alone. */
  FusedRows slice(int from, int count) {
    int[] rows = IntStream.range(from, from + count).toArray();
    return new FusedRows(
        logits.rows(rows),
        Arrays.copyOfRange(logProb, from, from + count),
        Arrays.copyOfRange(shift, from, from + count));
  }

  /** The largest log-prob up to {@code wanted} with which a row can have the entropy. */
  private static double reachable(double wanted, double entropy) {
    double logProb = Math.min(wanted, HIGHEST);
    while (entropyOf(falling(logProb, STEEP)) > 0.9 * entropy
        || entropyOf(falling(logProb, 0)) < 1.05 * entropy) {
      logProb -= 0.5;
    }
    return logProb;
  }

  private static double entropyOf(double[] row) {
    return ReferenceDistribution.of(row, ReferenceSoftmax.PLAIN, 0).entropy();
  }

  private static double[] row(double logProb, double entropy) {
    double steep = STEEP;
    double flat = 0;
    for (int i = 0; i < 60; i++) {
      double middle = (steep + flat) / 2;
      boolean tooFlat = entropyOf(falling(logProb, middle)) > entropy;
      flat = tooFlat ? middle : flat;
      steep = tooFlat ? steep : middle;
    }
    return falling(logProb, steep);
  }

  private static double[] falling(double logProb, double fall) {
    double[] row = new double[COLUMNS];
    double mass = 0;
    for (int j = 1; j < COLUMNS; j++) {
      row[j] = -fall * (j - 1);
      mass += Math.exp(row[j]);
    }
    row[0] = logProb - Math.log(-Math.expm1(logProb)) + Math.log(mass);
    return row;
  }
}
