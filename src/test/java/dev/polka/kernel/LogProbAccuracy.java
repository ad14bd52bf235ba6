package dev.polka.kernel;

import dev.polka.reference.Accuracy;
import dev.polka.reference.Libtorch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/** Compares log_prob, forward and backward, with the f64 reference. */
final class LogProbAccuracy {
  private final LogProbCase call;
  private final Logits logits;
  private final int rows;

  /** Null for a skipped row. */
  private final ReferenceDistribution[] references;

  LogProbAccuracy(LogProbCase call) {
    this.call = call;
    this.logits = call.logits();
    this.rows = logits.rows();
    this.references = new ReferenceDistribution[rows];
    for (int r = 0; r < rows; r++) {
      references[r] = call.counts(r) ? call.reference(r) : null;
    }
  }

  private double[] expected(ToDoubleFunction<ReferenceDistribution> value) {
    return IntStream.range(0, rows)
        .mapToDouble(r -> references[r] == null ? 0 : value.applyAsDouble(references[r]))
        .toArray();
  }

  private double[] expectedLogProb(boolean second) {
    return IntStream.range(0, rows)
        .mapToDouble(r -> references[r] == null ? 0 : logProb(r, second))
        .toArray();
  }

  private double logProb(int row, boolean second) {
    ReferenceDistribution d = references[row];
    return (second ? d.atTemperature(LogProbCase.SECOND_TEMPERATURE) : d)
        .logProbability((int) call.targets()[row]);
  }

  /** Every output. */
  void assertForward(LogProbCase.Outputs out) {
    int v = logits.cols();
    // A softcapped logit is itself rounded to f32.
    double rounded = call.softmax().softcap() / call.softmax().temperature();
    Accuracy.assertLogProbs("log_prob", out.logProb(), expectedLogProb(false));
    Accuracy.assertLogProbs("second_log_prob", out.secondLogProb(), expectedLogProb(true));
    Accuracy.assertLogProbs("lse", out.lse(), expected(ReferenceDistribution::lse));
    Accuracy.assertEntropies("entropy", v, out.entropy(), expected(ReferenceDistribution::entropy));
    Accuracy.assertSquares(
        "sum_p2", rounded, out.sumP2(), expected(ReferenceDistribution::sumOfSquares));
    Accuracy.assertEntropies(
        "self_certainty", v, out.selfCertainty(), expected(ReferenceDistribution::selfCertainty));
    Accuracy.assertProbabilities("top1", rounded, out.top1(), expected(d -> d.topProbability(0)));
    Accuracy.assertProbabilities("top2", rounded, out.top2(), expected(d -> d.topProbability(1)));
    double[] mean = expected(ReferenceDistribution::meanLogit);
    double[] magnitude = expected(ReferenceDistribution::meanMagnitude);
    for (int r = 0; r < rows; r++) {
      Accuracy.assertTerm("mean_logit[" + r + "]", out.meanLogit()[r], mean[r], magnitude[r]);
    }
  }

  /** The gradients of log-prob, entropy and self-certainty, one by one and together. */
  void assertBackward() {
    float[] a = new float[rows];
    float[] b = new float[rows];
    float[] c = new float[rows];
    for (int r = 0; r < rows; r++) {
      a[r] = 1.25f - 0.5f * (r % 5);
      b[r] = -0.75f + 0.25f * (r % 4);
      c[r] = 0.5f - 0.25f * (r % 3);
    }
    assertBackward(a, null, null);
    assertBackward(null, b, null);
    assertBackward(null, null, c);
    assertBackward(a, b, c);
  }

  private void assertBackward(float[] dLogProb, float[] dEntropy, float[] dSelfCertainty) {
    double[] upstream = new double[rows];
    double[] temperatures = new double[rows];
    double[][] expected = new double[rows][logits.cols()];
    for (int r = 0; r < rows; r++) {
      double a = at(dLogProb, r);
      double b = at(dEntropy, r);
      double c = at(dSelfCertainty, r);
      upstream[r] = Math.abs(a) + Math.abs(b) + Math.abs(c);
      temperatures[r] = call.temperature(r);
      expected[r] = references[r] == null ? expected[r] : references[r].gradient(a, b, c);
    }
    Accuracy.assertGradients(
        "gradient",
        logits.storage(),
        upstream,
        temperatures,
        logits.split(call.backward(dLogProb, dEntropy, dSelfCertainty)),
        expected,
        () -> libtorchError(dLogProb, dEntropy, dSelfCertainty, temperatures, expected));
  }

  private static double at(float[] upstream, int row) {
    return upstream == null ? 0 : upstream[row];
  }

  /** 0 where libtorch has no such operation. */
  private double libtorchError(
      float[] a, float[] b, float[] c, double[] temperatures, double[][] expected) {
    ReferenceSoftmax plain = ReferenceSoftmax.exactlyAt(call.softmax().temperature());
    boolean comparable = c == null && call.mask() == null && call.softmax().equals(plain);
    float[] none = new float[rows];
    return comparable
        ? Libtorch.logProbGradientError(
            logits.values(),
            call.targets(),
            Storage.toF32(temperatures),
            a == null ? none : a,
            b == null ? none : b,
            expected)
        : 0;
  }
}
