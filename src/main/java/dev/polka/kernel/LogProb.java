package dev.polka.kernel;

import static dev.polka.kernel.LogProbOutput.ENTROPY;
import static dev.polka.kernel.LogProbOutput.FINITE_COLUMNS;
import static dev.polka.kernel.LogProbOutput.MEAN_LOGIT;
import static dev.polka.kernel.LogProbOutput.SECOND_LOG_PROB;
import static dev.polka.kernel.LogProbOutput.SELF_CERTAINTY;
import static dev.polka.kernel.LogProbOutput.SUM_P2;
import static dev.polka.kernel.LogProbOutput.TOP1;
import static dev.polka.kernel.LogProbOutput.TOP2;

import dev.polka.kernel.internal.LogProbBackwardStruct;
import dev.polka.kernel.internal.LogProbForwardStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Matrix;
import dev.polka.memory.Placement;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Log-probs of target tokens from a matrix of logits, in one pass over it, and the gradient back.
 *
 * <p>With {@code y = softcap * tanh(z / softcap)} where a softcap is set, {@code T} the temperature
 * and t the target of a row:
 *
 * <pre>{@code
 * max      = max_j y_j             log_sum = ln sum_j exp((y_j - max) / T)
 * log_prob = (y_t - max) / T - log_sum
 * }</pre>
 *
 * <p>Logits are {@code [rows, vocabulary]} in f32, bf16 or f16; all arithmetic and all outputs are
 * f32. {@code -inf} logits are legal and mean probability 0; {@code +inf}, NaN or a row without any
 * finite logit give NaN for that row alone. Skipped rows (see {@link Targets}) give 0. The gradient
 * is taken from {@code (max, log_sum)}, which keeps digits that the log-sum-exp alone would lose
 * for logits far from 0, and is exact near probability 1.
 *
 * <p>The same logits row, target and options give the same bits here, in {@link PolicyLoss}, and
 * with any extra outputs: old log-probs taken from here make the first ratio exactly 1.
 *
 * <p>Sources: the fused log-prob of verl, TRL and Liger; self-certainty, Kang et al. 2025; the sum
 * of squared probabilities serves the optimal token baseline.
 *
 * <p>Immutable and thread-safe, apart from row temperatures and keep-mask, which are views.
 */
public final class LogProb extends LogitsOperation<LogProb> {
  private final float secondTemperature; // 0: none
  private final int outputs; // bits of LogProbOutput

  private LogProb(CallOptions options, float secondTemperature, int outputs) {
    super(options);
    this.secondTemperature = secondTemperature;
    this.outputs = outputs;
  }

  /**
   * Log-probs of the distribution as it is.
   *
   * @return the operation
   */
  public static LogProb plain() {
    return new LogProb(CallOptions.DEFAULT, 0, LogProbOutput.ALWAYS);
  }

  /**
   * Log-probs of the distribution that sampling at this temperature draws from.
   *
   * @param temperature divides the logits
   * @return the operation
   * @throws IllegalArgumentException if {@code temperature} is not finite and >= {@link
   *     Float#MIN_NORMAL}
   */
  public static LogProb atTemperature(float temperature) {
    return plain().withTemperature(temperature);
  }

  @Override
  LogProb with(CallOptions other) {
    return new LogProb(other, secondTemperature, outputs);
  }

  private LogProb with(int moreOutputs) {
    return new LogProb(options, secondTemperature, outputs | moreOutputs);
  }

  /**
   * Also computes the log-prob at another temperature: sampling temperature 0.8 and evaluation at
   * 1, say, for one reading of the logits.
   *
   * @param temperature the other temperature
   * @return the operation with {@link LogProbs#secondLogProb}
   * @throws IllegalArgumentException if {@code temperature} is not finite and >= {@link
   *     Float#MIN_NORMAL}
   */
  public LogProb withSecondTemperature(float temperature) {
    float second = Require.temperature("secondTemperature", temperature);
    return new LogProb(options, second, outputs | SECOND_LOG_PROB.bit());
  }

  /**
   * Also computes the entropy.
   *
   * @return the operation with {@link LogProbs#entropy}
   */
  public LogProb withEntropy() {
    return with(ENTROPY.bit());
  }

  /**
   * Also computes the sum of squared probabilities.
   *
   * @return the operation with {@link LogProbs#sumP2}
   */
  public LogProb withSumP2() {
    return with(SUM_P2.bit());
  }

  /**
   * Also computes self-certainty and the mean logit.
   *
   * @return the operation with {@link LogProbs#selfCertainty} and {@link LogProbs#meanLogit}
   */
  public LogProb withSelfCertainty() {
    return with(SELF_CERTAINTY.bit() | MEAN_LOGIT.bit() | FINITE_COLUMNS.bit());
  }

  /**
   * Also computes the two largest probabilities.
   *
   * @return the operation with {@link LogProbs#top1} and {@link LogProbs#top2}
   */
  public LogProb withTopProbabilities() {
    return with(TOP1.bit() | TOP2.bit());
  }

  /**
   * Room for the results of this operation.
   *
   * @param logits the logits that will be read
   * @return a result that owns its memory; close it
   */
  public LogProbs allocate(Matrix logits) {
    Objects.requireNonNull(logits, "logits");
    return LogProbs.allocate(logits.placement(), logits.rows(), outputs);
  }

  /**
   * Room for the results of this operation on logits that are never all there at once.
   *
   * @param placement where the logits will lie
   * @param rows how many there will be
   * @return a result that owns its memory; close it
   * @throws IllegalArgumentException if {@code rows} is negative
   */
  public LogProbs allocate(Placement placement, long rows) {
    return LogProbs.allocate(placement, rows, outputs);
  }

  /**
   * Computes log-probs and the outputs asked for.
   *
   * @param logits {@code [rows, vocabulary]}
   * @param targets one per row
   * @return the outputs; close them
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
   */
  public LogProbs forward(Matrix logits, Targets targets) {
    LogProbs out = allocate(logits);
    try {
      forward(logits, targets, out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Computes log-probs and the outputs asked for, into memory that exists. Allocates nothing.
   *
   * @param logits {@code [rows, vocabulary]}
   * @param targets one per row
   * @param out written; from {@link #allocate} of an operation with the same outputs
   * @throws IllegalArgumentException if shapes, devices, options or outputs do not fit each other
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
   */
  public void forward(Matrix logits, Targets targets, LogProbs out) {
    Objects.requireNonNull(logits, "logits");
    Objects.requireNonNull(targets, "targets");
    Objects.requireNonNull(out, "out");
    out.requireOutputs(outputs);
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(LogProbForwardStruct.SIZE);
      call.in("logits", logits, LogProbForwardStruct.LOGITS);
      targets.write(call, struct, LogProbForwardStruct.TARGETS, logits.rows());
      options.softmax().write(call, struct, LogProbForwardStruct.SOFTMAX, logits);
      for (LogProbOutput output : LogProbOutput.ALL) {
        call.out(output.label, out.part(output), logits.rows(), output.offset);
      }
      struct.putFloat(LogProbForwardStruct.SECOND_TEMPERATURE, secondTemperature);
      call.exec(options.threads());
      int status = PolkaNative.polka_log_prob_forward_workspace(call.logProbForward());
      NativeStatus.check(status, logits.device());
      call.provideWorkspace();
      status = PolkaNative.polka_log_prob_forward(call.logProbForward());
      NativeStatus.check(status, logits.device());
      call.completed();
      out.ranOn(call.ranTarget());
    } finally {
      call.exit();
    }
  }

  /**
   * Computes the gradient for the logits.
   *
   * @param logits the logits that {@code saved} came from
   * @param targets the targets that {@code saved} came from
   * @param saved the outputs of {@link #forward} of this operation
   * @param upstream the gradients of the loss for those outputs
   * @return {@code [rows, vocabulary]} in the logits' type; close it
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or {@code
   *     saved} lacks an output that {@code upstream} is about
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
   */
  public Matrix backward(
      Matrix logits, Targets targets, LogProbs saved, LogProbGradients upstream) {
    Objects.requireNonNull(logits, "logits");
    Matrix out = Matrix.allocate(logits.placement(), logits.dtype(), logits.rows(), logits.cols());
    try {
      backward(logits, targets, saved, upstream, out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Computes the gradient for the logits into memory that exists. Allocates nothing.
   *
   * @param logits the logits that {@code saved} came from
   * @param targets the targets that {@code saved} came from
   * @param saved the outputs of {@link #forward} of this operation
   * @param upstream the gradients of the loss for those outputs
   * @param out written: {@code [rows, vocabulary]} in the logits' type or f32; not the logits
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, {@code
   *     saved} lacks an output that {@code upstream} is about, or {@code out} overlaps an input
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
   */
  public void backward(
      Matrix logits, Targets targets, LogProbs saved, LogProbGradients upstream, Matrix out) {
    Objects.requireNonNull(logits, "logits");
    Objects.requireNonNull(out, "out");
    Require.sameShape("out", out, logits);
    run(logits, targets, saved, upstream, out);
  }

  /**
   * Replaces the logits by their gradient. Allocates nothing.
   *
   * @param logits read, then overwritten row by row
   * @param targets the targets that {@code saved} came from
   * @param saved the outputs of {@link #forward} of this operation
   * @param upstream the gradients of the loss for those outputs
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, {@code
   *     saved} lacks an output that {@code upstream} is about, or the logits are f16 and no
   *     gradient scale is set
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
   */
  public void backwardInPlace(
      Matrix logits, Targets targets, LogProbs saved, LogProbGradients upstream) {
    run(logits, targets, saved, upstream, null);
  }

  private void run(
      Matrix logits, Targets targets, LogProbs saved, LogProbGradients upstream, Matrix out) {
    Objects.requireNonNull(logits, "logits");
    Objects.requireNonNull(targets, "targets");
    Objects.requireNonNull(saved, "saved");
    Objects.requireNonNull(upstream, "upstream");
    long rows = logits.rows();
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(LogProbBackwardStruct.SIZE);
      call.in("logits", logits, LogProbBackwardStruct.LOGITS);
      if (out == null) {
        call.inPlace("logits", logits, LogProbBackwardStruct.D_LOGITS);
      } else {
        call.out("out", out, LogProbBackwardStruct.D_LOGITS);
      }
      targets.write(call, struct, LogProbBackwardStruct.TARGETS, rows);
      options.softmax().write(call, struct, LogProbBackwardStruct.SOFTMAX, logits);
      saved.write(call, upstream, rows);
      upstream.write(call, rows);
      struct.putFloat(LogProbBackwardStruct.GRADIENT_SCALE, options.gradientScale());
      call.exec(options.threads());
      int status = PolkaNative.polka_log_prob_backward(call.logProbBackward());
      NativeStatus.check(status, logits.device());
      call.completed();
    } finally {
      call.exit();
    }
  }
}
