package dev.polka.kernel;

import static dev.polka.kernel.LogProbOutput.ENTROPY;
import static dev.polka.kernel.LogProbOutput.FINITE_COLUMNS;
import static dev.polka.kernel.LogProbOutput.LOG_PROB;
import static dev.polka.kernel.LogProbOutput.LOG_SUM;
import static dev.polka.kernel.LogProbOutput.LSE;
import static dev.polka.kernel.LogProbOutput.MAX;
import static dev.polka.kernel.LogProbOutput.MEAN_LOGIT;
import static dev.polka.kernel.LogProbOutput.SECOND_LOG_PROB;
import static dev.polka.kernel.LogProbOutput.SELF_CERTAINTY;
import static dev.polka.kernel.LogProbOutput.SUM_P2;
import static dev.polka.kernel.LogProbOutput.TOP1;
import static dev.polka.kernel.LogProbOutput.TOP2;

import dev.polka.kernel.internal.LogProbBackwardStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.memory.Floats;
import dev.polka.memory.Placement;

/**
 * The outputs of {@link LogProb}: f32, one per row, 0 for skipped rows. Log-prob, max, log-sum and
 * lse are always there, the others if the operation asked for them.
 *
 * <p>Belongs to one thread at a time. Closing frees the memory and with it every view handed out.
 */
public final class LogProbs implements AutoCloseable {
  private final Floats memory; // all outputs, one after the other
  private final Floats[] parts = new Floats[LogProbOutput.ALL.length];
  private final int outputs;
  private final LogProbs whole; // of which this is some rows, or null
  private SimdTarget target = SimdTarget.NONE;

  private LogProbs(Floats memory, long rows, int outputs) {
    this.memory = memory;
    this.outputs = outputs;
    this.whole = null;
    long from = 0;
    for (LogProbOutput output : LogProbOutput.ALL) {
      if (output.in(outputs)) {
        parts[output.ordinal()] = memory.slice(from, rows);
        from += rows;
      }
    }
  }

  private LogProbs(LogProbs whole, long from, long to) {
    this.memory = whole.memory;
    this.outputs = whole.outputs;
    this.whole = whole;
    for (int i = 0; i < parts.length; i++) {
      parts[i] = whole.parts[i] == null ? null : whole.parts[i].slice(from, to - from);
    }
  }

  static LogProbs allocate(Placement placement, long rows, int outputs) {
    long size = Require.product("rows", rows, Integer.bitCount(outputs));
    return new LogProbs(Floats.allocate(placement, size), rows, outputs);
  }

  /**
   * The log-prob of each target, in nats.
   *
   * @return one per row; {@code -inf} where the target's logit is
   */
  public Floats logProb() {
    return get(LOG_PROB);
  }

  /**
   * The largest logit of each row, after softcap and before temperature. Saved for the gradient.
   *
   * @return one per row
   */
  public Floats max() {
    return get(MAX);
  }

  /**
   * The logarithm of the sum of {@code exp((y - max) / T)}. Saved for the gradient.
   *
   * @return one per row
   */
  public Floats logSum() {
    return get(LOG_SUM);
  }

  /**
   * The log-sum-exp, {@code max / T + log_sum}: a convenience with fewer digits than the pair.
   *
   * @return one per row
   */
  public Floats lse() {
    return get(LSE);
  }

  /**
   * The entropy, in nats.
   *
   * @return one per row
   * @throws IllegalStateException if it was not asked for by {@link LogProb#withEntropy}
   */
  public Floats entropy() {
    return get(ENTROPY);
  }

  /**
   * The sum of squared probabilities.
   *
   * @return one per row
   * @throws IllegalStateException if it was not asked for by {@link LogProb#withSumP2}
   */
  public Floats sumP2() {
    return get(SUM_P2);
  }

  /**
   * The mean of the logits, after softcap and temperature, over the finite kept columns.
   *
   * @return one per row
   * @throws IllegalStateException if it was not asked for by {@link LogProb#withSelfCertainty}
   */
  public Floats meanLogit() {
    return get(MEAN_LOGIT);
  }

  /**
   * Self-certainty: the KL divergence from the uniform distribution over the n finite kept columns,
   * {@code lse - mean_logit - ln n}, in nats.
   *
   * @return one per row
   * @throws IllegalStateException if it was not asked for by {@link LogProb#withSelfCertainty}
   */
  public Floats selfCertainty() {
    return get(SELF_CERTAINTY);
  }

  /**
   * The largest probability.
   *
   * @return one per row
   * @throws IllegalStateException if it was not asked for by {@link LogProb#withTopProbabilities}
   */
  public Floats top1() {
    return get(TOP1);
  }

  /**
   * The second largest probability: equal to the largest on a tie, 0 for a single column.
   *
   * @return one per row
   * @throws IllegalStateException if it was not asked for by {@link LogProb#withTopProbabilities}
   */
  public Floats top2() {
    return get(TOP2);
  }

  /**
   * The log-prob of each target at the second temperature.
   *
   * @return one per row
   * @throws IllegalStateException if it was not asked for by {@link LogProb#withSecondTemperature}
   */
  public Floats secondLogProb() {
    return get(SECOND_LOG_PROB);
  }

  /**
   * The SIMD target of the kernel that wrote these outputs last.
   *
   * @return the target; {@link SimdTarget#NONE} if no row needed a kernel
   */
  public SimdTarget target() {
    return target;
  }

  /**
   * Some successive rows, as room for a call on their logits or as what it saved. Closing the part
   * frees nothing.
   *
   * @param from first row
   * @param to one past the last row
   * @return a view of the outputs of these rows
   * @throws IndexOutOfBoundsException if the range is not within [0, rows]
   */
  public LogProbs rows(long from, long to) {
    return new LogProbs(this, from, to);
  }

  /**
   * All outputs in one piece, {@code [outputs, rows]}: for moving rows about.
   *
   * @return the memory; of the whole, if this is a part
   */
  public Floats all() {
    return memory;
  }

  private Floats get(LogProbOutput output) {
    Floats part = parts[output.ordinal()];
    if (part == null) {
      throw new IllegalStateException(
          "LogProbs: "
              + output.label
              + " was not asked for; there are "
              + LogProbOutput.names(outputs));
    }
    return part;
  }

  Floats part(LogProbOutput output) {
    return parts[output.ordinal()];
  }

  void requireOutputs(int asked) {
    if (asked != outputs) {
      throw new IllegalArgumentException(
          "out: has room for "
              + LogProbOutput.names(outputs)
              + "; the operation computes "
              + LogProbOutput.names(asked));
    }
  }

  void ranOn(int targetCode) {
    target = SimdTarget.ofCode(targetCode);
    if (whole != null) {
      whole.target = target;
    }
  }

  /** Hands the backward what it needs of these outputs. */
  void write(NativeCall call, LogProbGradients upstream, long rows) {
    call.in("saved max", max(), rows, LogProbBackwardStruct.MAX);
    call.in("saved logSum", logSum(), rows, LogProbBackwardStruct.LOG_SUM);
    if (upstream.entropy() != null) {
      requireSaved(ENTROPY, "withEntropy");
      call.in("saved entropy", entropy(), rows, LogProbBackwardStruct.ENTROPY);
    }
    if (upstream.selfCertainty() != null) {
      requireSaved(FINITE_COLUMNS, "withSelfCertainty");
      call.in(
          "saved finiteColumns", get(FINITE_COLUMNS), rows, LogProbBackwardStruct.FINITE_COLUMNS);
    }
  }

  private void requireSaved(LogProbOutput output, String option) {
    if (!output.in(outputs)) {
      throw new IllegalArgumentException(
          "saved: has no " + output.label + ", which upstream needs; make it by " + option + "()");
    }
  }

  /** Frees the memory, unless this is a part. */
  @Override
  public void close() {
    if (whole == null) {
      memory.close();
    }
  }
}
