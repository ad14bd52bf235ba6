package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Libtorch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.function.IntToDoubleFunction;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * One call of log_prob, forward and backward, with every output asked for, beside the f64
 * reference.
 *
 * @param rowTemperature a temperature per row, or null for the softmax's own
 * @param mask rows that count, or null for all
 * @param threads threads the call may use, 0 for the default
 */
public record LogProbCase(
    Logits logits,
    long[] targets,
    ReferenceSoftmax softmax,
    float[] rowTemperature,
    boolean[] mask,
    int threads) {
  static final float SECOND_TEMPERATURE = 1.7f;

  public static LogProbCase of(Logits logits, ReferenceSoftmax softmax, long... targets) {
    return new LogProbCase(logits, targets, softmax, null, null, 0);
  }

  LogProbCase withRowTemperature(float... value) {
    return new LogProbCase(logits, targets, softmax, value, mask, threads);
  }

  LogProbCase withMask(boolean... value) {
    return new LogProbCase(logits, targets, softmax, rowTemperature, value, threads);
  }

  LogProbCase withThreads(int value) {
    return new LogProbCase(logits, targets, softmax, rowTemperature, mask, value);
  }

  LogProbCase withLogits(Logits value) {
    return new LogProbCase(value, targets, softmax, rowTemperature, mask, threads);
  }

  /** Every output of a forward pass, as arrays. */
  public record Outputs(
      float[] logProb,
      float[] max,
      float[] logSum,
      float[] lse,
      float[] entropy,
      float[] sumP2,
      float[] meanLogit,
      float[] selfCertainty,
      float[] top1,
      float[] top2,
      float[] secondLogProb) {}

  LogProb operation() {
    LogProb op =
        LogProb.atTemperature((float) softmax.temperature())
            .withSecondTemperature(SECOND_TEMPERATURE)
            .withEntropy()
            .withSumP2()
            .withSelfCertainty()
            .withTopProbabilities()
            .withThreads(threads);
    op = softmax.softcap() == 0 ? op : op.withSoftcap((float) softmax.softcap());
    op = softmax.validVocab() == 0 ? op : op.withValidVocab(softmax.validVocab());
    op = softmax.keep() == null ? op : op.withKeepMask(keepMask());
    return rowTemperature == null ? op : op.withRowTemperature(Floats.copyOf(rowTemperature));
  }

  private KeepMask keepMask() {
    boolean[][] rows = new boolean[logits.rows()][];
    java.util.Arrays.fill(rows, softmax.keep());
    return KeepMask.copyOf(rows);
  }

  Targets kernelTargets() {
    Targets all = Targets.of(Longs.copyOf(targets));
    return mask == null ? all : all.withMask(Bytes.copyOf(mask));
  }

  public Outputs forward() {
    try (Matrix matrix = logits.matrix()) {
      return forward(matrix);
    }
  }

  Outputs forward(Matrix matrix) {
    try (LogProbs out = operation().forward(matrix, kernelTargets())) {
      return new Outputs(
          out.logProb().toArray(),
          out.max().toArray(),
          out.logSum().toArray(),
          out.lse().toArray(),
          out.entropy().toArray(),
          out.sumP2().toArray(),
          out.meanLogit().toArray(),
          out.selfCertainty().toArray(),
          out.top1().toArray(),
          out.top2().toArray(),
          out.secondLogProb().toArray());
    }
  }

  /** Gradients for upstream gradients per row; null where there is none. Row after row. */
  public float[] backward(float[] dLogProb, float[] dEntropy, float[] dSelfCertainty) {
    try (Matrix matrix = logits.matrix()) {
      return backward(matrix, dLogProb, dEntropy, dSelfCertainty);
    }
  }

  float[] backward(Matrix matrix, float[] dLogProb, float[] dEntropy, float[] dSelfCertainty) {
    LogProb op = operation();
    Targets targets = kernelTargets();
    try (LogProbs saved = op.forward(matrix, targets);
        Matrix gradient =
            op.backward(matrix, targets, saved, upstream(dLogProb, dEntropy, dSelfCertainty))) {
      return gradient.toArray();
    }
  }

  private static LogProbGradients upstream(
      float[] dLogProb, float[] dEntropy, float[] dSelfCertainty) {
    if (dLogProb == null && dEntropy == null) {
      return LogProbGradients.ofSelfCertainty(Floats.copyOf(dSelfCertainty));
    }
    LogProbGradients upstream =
        dLogProb == null
            ? LogProbGradients.ofEntropy(Floats.copyOf(dEntropy))
            : LogProbGradients.of(Floats.copyOf(dLogProb));
    if (dLogProb != null && dEntropy != null) {
      upstream = upstream.withEntropy(Floats.copyOf(dEntropy));
    }
    return dSelfCertainty == null
        ? upstream
        : upstream.withSelfCertainty(Floats.copyOf(dSelfCertainty));
  }

  boolean counts(int row) {
    return targets[row] != -100 && (mask == null || mask[row]);
  }

  double temperature(int row) {
    return rowTemperature == null ? softmax.temperature() : rowTemperature[row];
  }

  ReferenceDistribution reference(int row) {
    return ReferenceDistribution.of(
        logits.row(row), softmax.withTemperature(temperature(row)), (int) targets[row]);
  }

  private double[] expected(ToDoubleFunction<ReferenceDistribution> value) {
    IntToDoubleFunction ofRow = r -> counts(r) ? value.applyAsDouble(reference(r)) : 0;
    return IntStream.range(0, logits.rows()).mapToDouble(ofRow).toArray();
  }

  private double[] expectedLogProb(float temperature) {
    IntToDoubleFunction ofRow =
        r -> {
          ReferenceDistribution d = reference(r);
          d = temperature == 0 ? d : d.atTemperature(temperature);
          return counts(r) ? d.logProbability((int) targets[r]) : 0;
        };
    return IntStream.range(0, logits.rows()).mapToDouble(ofRow).toArray();
  }

  void assertForward() {
    assertForward(forward());
  }

  /** Every output meets the accuracy bar. */
  void assertForward(Outputs out) {
    int v = logits.cols();
    // A softcapped logit is itself rounded to f32.
    double rounded = softmax.softcap() / softmax.temperature();
    Accuracy.assertLogProbs("log_prob", out.logProb, expectedLogProb(0));
    Accuracy.assertLogProbs(
        "second_log_prob", out.secondLogProb, expectedLogProb(SECOND_TEMPERATURE));
    Accuracy.assertLogProbs("lse", out.lse, expected(ReferenceDistribution::lse));
    Accuracy.assertEntropies("entropy", v, out.entropy, expected(ReferenceDistribution::entropy));
    Accuracy.assertSquares(
        "sum_p2", rounded, out.sumP2, expected(ReferenceDistribution::sumOfSquares));
    assertMeanLogits(rounded, out.meanLogit, expected(ReferenceDistribution::meanLogit));
    Accuracy.assertEntropies(
        "self_certainty", v, out.selfCertainty, expected(ReferenceDistribution::selfCertainty));
    Accuracy.assertProbabilities("top1", rounded, out.top1, expected(d -> d.topProbability(0)));
    Accuracy.assertProbabilities("top2", rounded, out.top2, expected(d -> d.topProbability(1)));
  }

  private static void assertMeanLogits(double rounded, float[] actual, double[] expected) {
    for (int r = 0; r < actual.length; r++) {
      Accuracy.assertTerm("mean_logit[" + r + "]", actual[r], expected[r], rounded);
    }
  }

  /** The gradients of log-prob, entropy and self-certainty, one by one and together. */
  void assertBackward() {
    float[] a = new float[logits.rows()];
    float[] b = new float[logits.rows()];
    float[] c = new float[logits.rows()];
    for (int r = 0; r < logits.rows(); r++) {
      a[r] = 1.25f - 0.5f * (r % 5);
      b[r] = -0.75f + 0.25f * (r % 4);
      c[r] = 0.5f - 0.25f * (r % 3);
    }
    assertBackward(a, null, null);
    assertBackward(null, b, null);
    assertBackward(null, null, c);
    assertBackward(a, b, c);
  }

  void assertBackward(float[] dLogProb, float[] dEntropy, float[] dSelfCertainty) {
    int rows = logits.rows();
    double[] upstream = new double[rows];
    double[] temperatures = new double[rows];
    double[][] expected = new double[rows][logits.cols()];
    for (int r = 0; r < rows; r++) {
      double a = at(dLogProb, r);
      double b = at(dEntropy, r);
      double c = at(dSelfCertainty, r);
      upstream[r] = Math.abs(a) + Math.abs(b) + Math.abs(c);
      temperatures[r] = temperature(r);
      expected[r] = counts(r) ? reference(r).gradient(a, b, c) : expected[r];
    }
    Accuracy.assertGradients(
        "gradient",
        logits.storage(),
        upstream,
        temperatures,
        logits.split(backward(dLogProb, dEntropy, dSelfCertainty)),
        expected,
        () -> libtorchError(dLogProb, dEntropy, dSelfCertainty, temperatures, expected));
  }

  /** 0 where libtorch has no such operation. */
  private double libtorchError(
      float[] a, float[] b, float[] c, double[] temperatures, double[][] expected) {
    boolean comparable =
        c == null
            && mask == null
            && softmax.equals(ReferenceSoftmax.exactlyAt(softmax.temperature()));
    float[] none = new float[logits.rows()];
    return comparable
        ? Libtorch.logProbGradientError(
            logits.values(),
            targets,
            Storage.toF32(temperatures),
            a == null ? none : a,
            b == null ? none : b,
            expected)
        : 0;
  }

  private static double at(float[] upstream, int row) {
    return upstream == null ? 0 : upstream[row];
  }
}
