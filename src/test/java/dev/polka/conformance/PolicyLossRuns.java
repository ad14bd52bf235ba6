package dev.polka.conformance;

import dev.polka.kernel.PolicyLossCase;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferencePolicyLoss;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceSoftmax;
import java.util.stream.IntStream;

/** A policy-loss vector, run through both entries of the library. */
final class PolicyLossRuns {
  private final PolicyLossVector vector;
  private final PolicyLossCheck check;
  private final double bar;

  PolicyLossRuns(PolicyLossVector vector, double bar) {
    this.vector = vector;
    this.check = new PolicyLossCheck(vector, bar);
    this.bar = bar;
  }

  private PolicyLossCase on(ReferenceBatch batch) {
    return new PolicyLossCase(vector.objective(), batch, vector.advantagePerSequence(), 0);
  }

  /** The entry for callers who hold log-probs: loss, metrics and both derivatives. */
  void fromLogProbs() {
    Result[] perSequence =
        sequences()
            .mapToObj(b -> on(vector.batch().sequences(b, b + 1)).fromLogProbs())
            .toArray(Result[]::new);
    check.check(on(vector.batch()).fromLogProbs(), perSequence);
  }

  private IntStream sequences() {
    return IntStream.range(0, vector.batch().offsets().length - 1);
  }

  /**
   * The entry from logits, on logits that have the vector's log-probs and entropies: loss, metrics,
   * and the gradient for the logits that the vector's derivatives give by the chain rule.
   */
  void fromLogits() {
    ReferenceBatch b = vector.batch();
    FusedRows fused = FusedRows.of(b.logProb(), b.entropy(), b.mask());
    PolicyLossCase.Fused actual = run(b, fused);
    Result[] perSequence =
        sequences()
            .mapToObj(
                s ->
                    run(
                        vector.batch().sequences(s, s + 1),
                        fused.slice(s * vector.width(), vector.width())))
            .map(PolicyLossCase.Fused::result)
            .toArray(Result[]::new);
    actual.result().loss -= shiftInLoss(b, fused);
    check.checkLoss(actual.result());
    check.checkMetrics(actual.result(), perSequence);
    checkGradient(fused, actual.gradient());
  }

  /** What the common shifts add to a loss that sees more of a log-prob than differences. */
  private double shiftInLoss(ReferenceBatch batch, FusedRows fused) {
    return ReferencePolicyLoss.of(vector.objective(), shifted(batch, fused)).loss
        - ReferencePolicyLoss.of(vector.objective(), batch).loss;
  }

  private PolicyLossCase.Fused run(ReferenceBatch batch, FusedRows fused) {
    return on(shifted(batch, fused)).fromLogits(fused.logits(), new long[fused.logits().rows()], 1);
  }

  private static ReferenceBatch shifted(ReferenceBatch batch, FusedRows fused) {
    return new ReferenceBatch(
        batch.offsets(),
        fused.logProb(),
        batch.entropy(),
        less(batch.old(), fused.shift()),
        less(batch.ref(), fused.shift()),
        batch.advantages(),
        batch.weights(),
        batch.mask(),
        batch.divisor(),
        batch.sequenceTokens(),
        batch.entropyDivisor(),
        batch.entropySequenceTokens(),
        batch.extras());
  }

  private static double[] less(double[] values, double[] shift) {
    return values == null
        ? null
        : IntStream.range(0, values.length).mapToDouble(t -> values[t] - shift[t]).toArray();
  }

  private void checkGradient(FusedRows fused, float[] actual) {
    double[][] rows = KernelRuns.rows(actual, fused.logits().cols());
    double[] ofLogProb = check.expectedRows("d_log_prob");
    boolean hasEntropy = vector.golden().expected().hasNonNull("d_entropy");
    double[] ofEntropy = hasEntropy ? check.expectedRows("d_entropy") : new double[rows.length];
    for (int t = 0; t < rows.length; t++) {
      double[] expected =
          ReferenceDistribution.of(fused.logits().row(t), ReferenceSoftmax.PLAIN, 0)
              .gradient(ofLogProb[t], ofEntropy[t], 0);
      for (int j = 0; j < expected.length; j++) {
        String what = "d_logits of row " + t + ", column " + j;
        Tolerance.assertGradient(what, bar, rows[t][j], expected[j], check.scale(t));
      }
    }
  }
}
