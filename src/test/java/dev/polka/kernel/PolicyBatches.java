package dev.polka.kernel;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.Arrays;

/** Packed batches of ragged sequences for policy objectives, all numbers as f32 holds them. */
final class PolicyBatches {
  private PolicyBatches() {}

  /** Sequences of 3, 0, 1, 9, 5, 0 and 12 tokens, every seventh token masked. */
  static final long[] OFFSETS = {0, 3, 3, 4, 13, 18, 18, 30};

  static final int ROWS = 30;

  static boolean[] mask() {
    boolean[] mask = new boolean[ROWS];
    for (int t = 0; t < ROWS; t++) {
      mask[t] = t % 7 != 5;
    }
    return mask;
  }

  static long[] tokenCounts(long[] offsets, boolean[] mask) {
    long[] counts = new long[offsets.length - 1];
    for (int b = 0; b < counts.length; b++) {
      for (int t = (int) offsets[b]; t < offsets[b + 1]; t++) {
        counts[b] += mask[t] ? 1 : 0;
      }
    }
    return counts;
  }

  /**
   * Log-probs in (-4, 0), log-ratios of about {@code spread}, weights, entropies, a mean per
   * sequence.
   */
  static ReferenceBatch batch(long seed, double spread) {
    Noise noise = Noise.of(seed);
    double[] logProb = Storage.widen(noise.stream(1).uniforms(ROWS, -4, -0.01));
    double[] perSequence = Storage.widen(noise.stream(4).normals(OFFSETS.length - 1, 1));
    return new ReferenceBatch(
        OFFSETS,
        logProb,
        Storage.widen(noise.stream(5).uniforms(ROWS, 0.1, 3)),
        near(logProb, noise.stream(2), spread),
        near(logProb, noise.stream(3), spread),
        ReferenceBatch.perToken(OFFSETS, perSequence),
        Storage.widen(noise.stream(6).uniforms(ROWS, 0.3, 1.8)),
        mask(),
        7,
        tokenCounts(OFFSETS, mask()),
        26,
        null);
  }

  /** Values about {@code spread} away from the given ones. */
  static double[] near(double[] values, Noise noise, double spread) {
    double[] moved = new double[values.length];
    for (int t = 0; t < values.length; t++) {
      moved[t] = (float) (values[t] + spread * noise.normal(t));
    }
    return moved;
  }

  /**
   * The batch whose log-probs and entropies are those of the logits, in f64; old and reference lie
   * around them.
   */
  static ReferenceBatch onLogits(
      ReferenceBatch batch, Logits logits, long[] targets, ReferenceSoftmax softmax, long seed) {
    double[] logProb = new double[logits.rows()];
    double[] entropy = new double[logits.rows()];
    for (int t = 0; t < logits.rows(); t++) {
      ReferenceDistribution d = ReferenceDistribution.of(logits.row(t), softmax, (int) targets[t]);
      logProb[t] = d.logProbability((int) targets[t]);
      entropy[t] = d.entropy();
    }
    return new ReferenceBatch(
        batch.offsets(),
        logProb,
        entropy,
        near(logProb, Noise.of(seed).stream(8), 0.4),
        near(logProb, Noise.of(seed).stream(9), 0.4),
        batch.advantages(),
        batch.weights(),
        batch.mask(),
        batch.divisor(),
        batch.sequenceTokens(),
        batch.entropyDivisor(),
        batch.entropySequenceTokens());
  }

  static double[] ones(int n) {
    double[] ones = new double[n];
    Arrays.fill(ones, 1);
    return ones;
  }
}
