package dev.polka.policy;

import dev.polka.kernel.TokenLayout;

/**
 * What {@link OffPolicyCorrection} found for a batch. The mask of {@link #kept} drops a token from
 * the whole loss; the weights alone, 0 for such a token, drop it from the policy term and leave it
 * in the KL term.
 *
 * <p>Dropping tokens changes no divisor: count those that {@link #kept} has for the mean over what
 * is left (verl), or the ones before for the mean over all (AReaL).
 *
 * <p>Immutable and thread-safe.
 */
public final class Correction {
  private final TokenLayout kept;
  private final double[] weights;
  private final double[] old;
  private final CorrectionMetrics metrics;

  Correction(TokenLayout kept, double[] weights, double[] old, CorrectionMetrics metrics) {
    this.kept = kept;
    this.weights = weights;
    this.old = old;
    this.metrics = metrics;
  }

  /** {@return the tokens that stay; its mask is for {@code TokenBatch.withMask}} */
  public TokenLayout kept() {
    return kept;
  }

  /**
   * {@return a weight for each row, 0 where it does not stay; for {@code TokenBatch.withWeights}}
   */
  public float[] weights() {
    return narrowed(weights);
  }

  /**
   * {@return the log-probs that the loss's ratio is over, one per row; for {@code
   * TokenBatch.withOld}} Those of the proximal policy, or of the sampler in bypass mode.
   */
  public float[] old() {
    return narrowed(old);
  }

  /** {@return how far off the batch is, and what was done about it} */
  public CorrectionMetrics metrics() {
    return metrics;
  }

  private static float[] narrowed(double[] values) {
    float[] narrow = new float[values.length];
    for (int row = 0; row < narrow.length; row++) {
      narrow[row] = (float) values[row];
    }
    return narrow;
  }
}
