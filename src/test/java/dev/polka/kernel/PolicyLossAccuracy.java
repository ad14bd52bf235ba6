package dev.polka.kernel;

import dev.polka.reference.Accuracy;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceObjective.Kind;
import dev.polka.reference.ReferencePolicyLoss;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceSoftmax;

/** Compares both entries of policy_loss with the f64 reference. */
final class PolicyLossAccuracy {
  private final PolicyLossCase policy;
  private final ReferenceBatch batch;
  private final Result expected;

  PolicyLossAccuracy(PolicyLossCase policy) {
    this.policy = policy;
    this.batch = policy.batch();
    this.expected = ReferencePolicyLoss.of(policy.objective(), batch);
  }

  /** The entry for callers who hold log-probs. */
  void assertFromLogProbs() {
    Result actual = policy.fromLogProbs();
    assertSums(actual, 1);
    for (int t = 0; t < actual.dLogProb.length; t++) {
      Accuracy.assertWithin(
          "d_log_prob of row " + t, actual.dLogProb[t], expected.dLogProb[t], bound(t));
      Accuracy.assertWithin(
          "d_entropy of row " + t,
          actual.dEntropy[t],
          expected.dEntropy[t],
          4 * Accuracy.EPS * Math.abs(expected.dEntropy[t]));
    }
  }

  /** The entry from logits; the batch must hold the log-probs of these logits. */
  void assertFromLogits(Logits logits, long[] targets, ReferenceSoftmax softmax) {
    PolicyLossCase.Fused actual = policy.fromLogits(logits, targets, (float) softmax.temperature());
    double scale = logProbScale();
    assertSums(actual.result(), scale);
    int rows = logits.rows();
    double[] scales = new double[rows];
    double[] temperatures = new double[rows];
    double[][] gradient = new double[rows][];
    for (int t = 0; t < rows; t++) {
      scales[t] = scale(t, scale);
      temperatures[t] = softmax.temperature();
      gradient[t] =
          ReferenceDistribution.of(logits.row(t), softmax, (int) targets[t])
              .gradient(expected.dLogProb[t], expected.dEntropy[t], 0);
    }
    Accuracy.assertGradients(
        "gradient",
        logits.storage(),
        scales,
        temperatures,
        logits.split(actual.gradient()),
        gradient,
        () -> 0);
  }

  private double bound(int t) {
    return 4 * Accuracy.EPS * scale(t, 1);
  }

  /**
   * The size of the pieces that row t's derivative is made of. {@code logProb} is the scale of the
   * log-probs themselves: what they are wrong by, ratios are wrong by relatively.
   */
  private double scale(int t, double logProb) {
    if (batch.mask() != null && !batch.mask()[t]) {
      return 0;
    }
    double kl = Math.abs(policy.objective().klCoefficient());
    double inputs = logProb;
    for (double[] values : new double[][] {batch.old(), batch.ref()}) {
      double d = values == null ? 0 : Math.abs(batch.logProb()[t] - values[t]);
      inputs = Math.max(inputs, Math.max(d, logProb) * Math.exp(Math.min(d, 20)));
    }
    double weight = batch.weights() == null ? 1 : batch.weights()[t];
    double[] anchors = batch.extras().anchorWeights();
    double anchor =
        policy.objective().anchorCoefficient() * (anchors == null ? 1 : Math.abs(anchors[t]));
    return share(t) * inputs * (Math.abs(weight) * (Math.abs(batch.advantages()[t]) + anchor) + kl)
        + Math.abs(policy.objective().likelihood())
        // A regression's slope grows with the sequence, and is rounded as a whole.
        + (policy.objective().kind() == Kind.REGRESSION ? Math.abs(expected.dLogProb[t]) : 0)
        + Math.abs(expected.dEntropy[t]) * Math.max(1, Math.abs(batch.entropy()[t]));
  }

  /** The largest |log-prob| of a counted row, at least 1. */
  private double logProbScale() {
    double largest = 1;
    for (int t = 0; t < batch.logProb().length; t++) {
      boolean counts = batch.mask() == null || batch.mask()[t];
      largest = counts ? Math.max(largest, Math.abs(batch.logProb()[t])) : largest;
    }
    return largest;
  }

  private double share(int t) {
    int b = 0;
    while (batch.offsets()[b + 1] <= t) {
      b++;
    }
    double tokens = batch.sequenceTokens() == null ? 1 : Math.max(1, batch.sequenceTokens()[b]);
    return batch.divisor() == 0 ? 0 : 1 / batch.divisor() / tokens;
  }

  private void assertSums(Result actual, double logProb) {
    Accuracy.assertLoss("loss", actual.loss, expected.loss, logProb * expected.magnitude);
    Accuracy.assertLoss(
        "policy_loss", actual.policyLoss, expected.policyLoss, logProb * expected.policyMagnitude);
    double rows = logProb * batch.logProb().length;
    if (policy.objective().likelihood() != 0) {
      Accuracy.assertTerm(
          "likelihood_loss", actual.likelihoodLoss, expected.likelihoodLoss, 4 * rows);
    }
    Accuracy.assertTerm(
        "sequence_weight_sum", actual.sequenceWeight, expected.sequenceWeight, rows);
    Accuracy.assertTerm("anchor_loss", actual.anchorLoss, expected.anchorLoss, rows);
    Accuracy.assertTerm("abs_log_ratio_sum", actual.absLogRatio, expected.absLogRatio, rows);
    Accuracy.assertTerm(
        "squared_log_ratio_sum", actual.squaredLogRatio, expected.squaredLogRatio, 4 * rows);
    Accuracy.assertTerm("kl_loss", actual.klLoss, expected.klLoss, rows);
    Accuracy.assertTerm("entropy_loss", actual.entropyLoss, expected.entropyLoss, rows);
    Accuracy.assertTerm("approx_kl_sum", actual.approxKl, expected.approxKl, rows);
    Accuracy.assertTerm("kl_sum", actual.kl, expected.kl, rows);
    Accuracy.assertTerm("entropy_sum", actual.entropy, expected.entropy, rows);
    Accuracy.assertTerm("ratio_sum", actual.ratioSum, expected.ratioSum, rows);
    Accuracy.assertTerm("ratio_min", actual.ratioMin, expected.ratioMin, logProb);
    Accuracy.assertTerm(
        "ratio_max", actual.ratioMax, expected.ratioMax, logProb * expected.ratioMax);
    assertCounts(actual);
  }

  private void assertCounts(Result actual) {
    equal("tokens", actual.tokens, expected.tokens);
    equal("sequences", actual.sequences, expected.sequences);
    equal("clipped", actual.clipped, expected.clipped);
    equal("dual_clipped", actual.dualClipped, expected.dualClipped);
    equal("below", actual.below, expected.below);
    equal("above", actual.above, expected.above);
    equal("low_entropy", actual.lowEntropy, expected.lowEntropy);
    equal("off_policy_sequences", actual.offPolicySequences, expected.offPolicySequences);
    equal("clip_low", actual.clipLow, expected.clipLow);
    equal("clip_high", actual.clipHigh, expected.clipHigh);
    equal("clip_low_sequences", actual.clipLowSequences, expected.clipLowSequences);
    equal("clip_high_sequences", actual.clipHighSequences, expected.clipHighSequences);
    equal("non_finite_rows", actual.nonFiniteRows, expected.nonFiniteRows);
    equal("first_non_finite_row", actual.firstNonFiniteRow, expected.firstNonFiniteRow);
  }

  private static void equal(String what, long actual, long expected) {
    Accuracy.assertWithin(what, actual, expected, 0);
  }
}
