package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceSoftmax;

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

  /** Every output meets the accuracy bar. */
  void assertForward() {
    assertForward(forward());
  }

  void assertForward(Outputs out) {
    new LogProbAccuracy(this).assertForward(out);
  }

  /** The gradients of log-prob, entropy and self-certainty meet it, one by one and together. */
  void assertBackward() {
    new LogProbAccuracy(this).assertBackward();
  }
}
