package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.PolicyLossStruct;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import dev.polka.memory.Placement;
import java.util.Objects;

/**
 * What {@link PolicyLoss} computes: loss, metrics, and gradients for what it was given, logits or
 * log-probs.
 *
 * <p>Belongs to one thread at a time. Closing frees what Polka allocated.
 */
public final class LossResult implements AutoCloseable {
  private final Doubles metrics;
  private final Floats logProb; // out of a call on logits
  private final Floats entropy;
  private final Floats logProbGradient; // out of a call on log-probs
  private final Floats entropyGradient;
  private final Matrix room;
  private final boolean ownsRoom;
  private Matrix gradient;
  private SimdTarget target = SimdTarget.NONE;

  private LossResult(
      Placement placement,
      Floats logProb,
      Floats entropy,
      Matrix room,
      boolean ownsRoom,
      Floats logProbGradient,
      Floats entropyGradient) {
    this.metrics = Doubles.allocate(placement, PolicyLossMetrics.FIELDS);
    for (int i = 0; i < PolicyLossMetrics.FIELDS; i++) {
      metrics.set(i, Double.NaN); // no call has written it yet
    }
    this.logProb = logProb;
    this.entropy = entropy;
    this.room = room;
    this.ownsRoom = ownsRoom;
    this.logProbGradient = logProbGradient;
    this.entropyGradient = entropyGradient;
  }

  private static LossResult forLogits(Matrix like, Matrix room, boolean ownsRoom) {
    Placement placement = Objects.requireNonNull(like, "logits").placement();
    Floats logProb = Floats.allocate(placement, like.rows());
    Floats entropy = Floats.allocate(placement, like.rows());
    return new LossResult(placement, logProb, entropy, room, ownsRoom, null, null);
  }

  /**
   * Room for a call on logits with gradient.
   *
   * @param logits the logits that will be read; the gradient gets their type
   * @return a result that owns its memory; close it
   */
  public static LossResult allocate(Matrix logits) {
    Objects.requireNonNull(logits, "logits");
    Matrix room = Matrix.allocate(logits.placement(), logits.dtype(), logits.rows(), logits.cols());
    return forLogits(logits, room, true);
  }

  /**
   * Room for a call on logits with its gradient in memory that the caller has.
   *
   * @param gradient {@code [rows, vocabulary]} in the logits' type or f32
   * @return a result that owns all but the gradient; close it
   */
  public static LossResult of(Matrix gradient) {
    Objects.requireNonNull(gradient, "gradient");
    return forLogits(gradient, gradient, false);
  }

  /**
   * Room for a call on logits without gradient or in place.
   *
   * @param logits the logits that will be read
   * @return a result that owns its memory; close it
   */
  public static LossResult withoutGradient(Matrix logits) {
    return forLogits(logits, null, false);
  }

  /**
   * Room for a call on log-probs with both gradients.
   *
   * @param logProb the log-probs that will be read
   * @return a result that owns its memory; close it
   */
  public static LossResult allocate(Floats logProb) {
    Placement placement = Objects.requireNonNull(logProb, "logProb").placement();
    Floats logProbGradient = Floats.allocate(placement, logProb.size());
    Floats entropyGradient = Floats.allocate(placement, logProb.size());
    return new LossResult(placement, null, null, null, false, logProbGradient, entropyGradient);
  }

  /**
   * Room for a call on log-probs without gradients.
   *
   * @param logProb the log-probs that will be read
   * @return a result that owns its memory; close it
   */
  public static LossResult withoutGradient(Floats logProb) {
    Objects.requireNonNull(logProb, "logProb");
    return new LossResult(logProb.placement(), null, null, null, false, null, null);
  }

  /**
   * The loss. Reads it to the host.
   *
   * @return the loss; NaN before the first call, and if a row that counts is not finite and such
   *     rows are not skipped
   */
  public double loss() {
    return metrics.get(0);
  }

  /**
   * The parts of the loss and what there is to watch. Reads them to the host.
   *
   * @return a copy
   */
  public PolicyLossMetrics metrics() {
    return PolicyLossMetrics.read(metrics);
  }

  /**
   * The gradient of the loss for the logits, multiplied by the gradient scale.
   *
   * @return {@code [rows, vocabulary]}; the logits themselves after a call in place
   * @throws IllegalStateException if the last call computed none
   */
  public Matrix gradient() {
    return present(gradient, "gradient", "forwardBackward on logits computes one");
  }

  /**
   * The log-prob of each target: what the next update takes as old.
   *
   * @return f32, one per row, 0 for skipped rows
   * @throws IllegalStateException if the result is for calls on log-probs
   */
  public Floats logProb() {
    return present(logProb, "log-probs", "they are an input of calls on log-probs");
  }

  /**
   * The entropy of each row, in nats.
   *
   * @return f32, one per row, 0 for skipped rows
   * @throws IllegalStateException if the result is for calls on log-probs
   */
  public Floats entropy() {
    return present(entropy, "entropies", "they are an input of calls on log-probs");
  }

  /**
   * The gradient of the loss for the log-probs, multiplied by the gradient scale.
   *
   * @return f32, one per row, 0 for skipped rows
   * @throws IllegalStateException if the result is for calls on logits, or without gradient
   */
  public Floats logProbGradient() {
    return present(logProbGradient, "log-prob gradient", "allocate(logProb) makes room for it");
  }

  /**
   * The gradient of the loss for the entropies, multiplied by the gradient scale.
   *
   * @return f32, one per row, 0 for skipped rows
   * @throws IllegalStateException if the result is for calls on logits, or without gradient
   */
  public Floats entropyGradient() {
    return present(entropyGradient, "entropy gradient", "allocate(logProb) makes room for it");
  }

  /**
   * The SIMD target of the kernel that wrote this result last.
   *
   * @return the target; {@link SimdTarget#NONE} if none over the vocabulary was needed
   */
  public SimdTarget target() {
    return target;
  }

  private static <T> T present(T part, String name, String hint) {
    if (part == null) {
      throw new IllegalStateException("LossResult: has no " + name + "; " + hint);
    }
    return part;
  }

  Matrix room() {
    return present(room, "room for a gradient", "allocate(logits) or of(gradient) makes it");
  }

  /** Registers what a call on logits writes beside the gradient. */
  void writeRows(NativeCall call, long rows) {
    call.out("out logProb", logProb(), rows, PolicyLossStruct.LOG_PROB);
    call.out("out entropy", entropy(), rows, PolicyLossStruct.ENTROPY);
    call.out("out metrics", metrics, PolicyLossMetrics.FIELDS, PolicyLossStruct.METRICS);
  }

  /** Registers what a call on log-probs writes. */
  void writeTokenGradients(NativeCall call, long rows) {
    call.out("out logProbGradient", logProbGradient, rows, PolicyLossStruct.D_LOG_PROB);
    call.out("out entropyGradient", entropyGradient, rows, PolicyLossStruct.D_ENTROPY);
    call.out("out metrics", metrics, PolicyLossMetrics.FIELDS, PolicyLossStruct.METRICS);
  }

  void wrote(Matrix newGradient, int targetCode) {
    gradient = newGradient;
    target = SimdTarget.ofCode(targetCode);
  }

  /** Frees the memory that Polka allocated. */
  @Override
  public void close() {
    metrics.close();
    closeIfThere(logProb);
    closeIfThere(entropy);
    closeIfThere(logProbGradient);
    closeIfThere(entropyGradient);
    if (ownsRoom) {
      room.close();
    }
  }

  private static void closeIfThere(Floats part) {
    if (part != null) {
      part.close();
    }
  }
}
