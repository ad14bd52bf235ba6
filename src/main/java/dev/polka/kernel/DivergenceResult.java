package dev.polka.kernel;

import dev.polka.kernel.internal.DivergenceStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.util.Objects;

/**
 * What {@link Divergence} computes: the divergence of each row, the loss, quantities on the side
 * that the pass over the logits gives for nothing, and the gradient for the student's logits.
 *
 * <p>Belongs to one thread at a time. Closing frees what Polka allocated.
 */
public final class DivergenceResult implements AutoCloseable {
  private final Floats memory; // value, entropy and both lse, one after the other
  private final Floats value;
  private final Floats studentEntropy;
  private final Floats studentLse;
  private final Floats teacherLse;
  private final Doubles loss;
  private final Matrix room;
  private final boolean ownsRoom;
  private Matrix gradient;
  private SimdTarget target = SimdTarget.NONE;

  private DivergenceResult(Matrix student, Matrix room, boolean ownsRoom) {
    long rows = Objects.requireNonNull(student, "student").rows();
    this.memory = Floats.allocate(student.placement(), Require.product("rows", rows, 4));
    this.value = memory.slice(0, rows);
    this.studentEntropy = memory.slice(rows, rows);
    this.studentLse = memory.slice(2 * rows, rows);
    this.teacherLse = memory.slice(3 * rows, rows);
    this.loss = Doubles.allocate(student.placement(), 1);
    loss.set(0, Double.NaN); // no call has written it yet
    this.room = room;
    this.ownsRoom = ownsRoom;
  }

  /**
   * Room for everything.
   *
   * @param student the logits that will be read; the gradient gets their type
   * @return a result that owns its memory; close it
   */
  public static DivergenceResult allocate(Matrix student) {
    Objects.requireNonNull(student, "student");
    Matrix room =
        Matrix.allocate(student.placement(), student.dtype(), student.rows(), student.cols());
    return new DivergenceResult(student, room, true);
  }

  /**
   * Room for everything but the gradient, which goes to memory that the caller has.
   *
   * @param gradient {@code [rows, vocabulary]} in the student's type or f32
   * @return a result that owns all but the gradient; close it
   */
  public static DivergenceResult of(Matrix gradient) {
    return new DivergenceResult(gradient, gradient, false);
  }

  /**
   * Room for everything but a gradient: for {@code forward} and {@code forwardBackwardInPlace}.
   *
   * @param student the logits that will be read
   * @return a result that owns its memory; close it
   */
  public static DivergenceResult withoutGradient(Matrix student) {
    return new DivergenceResult(student, null, false);
  }

  /**
   * The divergence of each row, in nats, before weight and normalizer; 0 for masked rows.
   *
   * @return one per row
   */
  public Floats value() {
    return value;
  }

  /**
   * The loss: the weighted sum of the values over the divisor. Reads it to the host.
   *
   * @return the loss
   */
  public double loss() {
    return loss.get(0);
  }

  /**
   * The gradient of the loss for the student's logits, multiplied by the gradient scale.
   *
   * @return {@code [rows, vocabulary]}; the student's logits themselves after a call in place
   * @throws IllegalStateException if the last call computed none
   */
  public Matrix gradient() {
    if (gradient == null) {
      throw new IllegalStateException(
          "DivergenceResult: has no gradient; forwardBackward computes one");
    }
    return gradient;
  }

  /**
   * The entropy of the student's distribution, in nats.
   *
   * @return one per row
   */
  public Floats studentEntropy() {
    return studentEntropy;
  }

  /**
   * The log-sum-exp of the student's logits, after softcap and temperature.
   *
   * @return one per row
   */
  public Floats studentLse() {
    return studentLse;
  }

  /**
   * The log-sum-exp of the teacher's logits, after softcap and temperature.
   *
   * @return one per row
   */
  public Floats teacherLse() {
    return teacherLse;
  }

  /**
   * The SIMD target of the kernel that wrote this result last.
   *
   * @return the target; {@link SimdTarget#NONE} if no row needed a kernel
   */
  public SimdTarget target() {
    return target;
  }

  Matrix room() {
    if (room == null) {
      throw new IllegalStateException(
          "DivergenceResult: has no room for a gradient; allocate() or of(gradient) makes it");
    }
    return room;
  }

  Matrix roomOrNull() {
    return room;
  }

  void write(NativeCall call, long rows) {
    call.out("value", value, rows, DivergenceStruct.VALUE);
    call.out("studentEntropy", studentEntropy, rows, DivergenceStruct.STUDENT_ENTROPY);
    call.out("studentLse", studentLse, rows, DivergenceStruct.STUDENT_LSE);
    call.out("teacherLse", teacherLse, rows, DivergenceStruct.TEACHER_LSE);
    call.out("loss", loss, 1, DivergenceStruct.LOSS);
  }

  void wrote(Matrix newGradient, int targetCode) {
    gradient = newGradient;
    target = SimdTarget.ofCode(targetCode);
  }

  /** Frees the memory that Polka allocated. */
  @Override
  public void close() {
    memory.close();
    loss.close();
    if (ownsRoom) {
      room.close();
    }
  }
}
