package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.TopkDivergenceStruct;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;

/**
 * What {@link TopkDivergence} computes: the divergence of each row, the loss, quantities on the
 * side that the pass over the logits gives for nothing, and the gradient for the student's logits.
 *
 * <p>Belongs to one thread at a time. Closing frees what Polka allocated.
 */
public final class TopkDivergenceResult implements AutoCloseable {
  private final Floats memory; // all per-row outputs, one after the other
  private final Floats value;
  private final Floats studentEntropy;
  private final Floats studentLse;
  private final Floats studentMass;
  private final Floats teacherMass;
  private final Floats overlap;
  private final Doubles loss;
  private final Matrix room;
  private final boolean ownsRoom;
  private Matrix gradient;
  private SimdTarget target = SimdTarget.NONE;

  private TopkDivergenceResult(Matrix student, Matrix room, boolean ownsRoom) {
    long rows = student.rows();
    this.memory = Floats.allocate(student.placement(), Math.multiplyExact(rows, 6L));
    this.value = memory.slice(0, rows);
    this.studentEntropy = memory.slice(rows, rows);
    this.studentLse = memory.slice(2 * rows, rows);
    this.studentMass = memory.slice(3 * rows, rows);
    this.teacherMass = memory.slice(4 * rows, rows);
    this.overlap = memory.slice(5 * rows, rows);
    this.loss = Doubles.allocate(student.placement(), 1);
    this.room = room;
    this.ownsRoom = ownsRoom;
  }

  /**
   * Room for everything.
   *
   * @param student the logits that will be read; the gradient gets their type
   * @return a result that owns its memory; close it
   */
  public static TopkDivergenceResult allocate(Matrix student) {
    Matrix room =
        Matrix.allocate(student.placement(), student.dtype(), student.rows(), student.cols());
    return new TopkDivergenceResult(student, room, true);
  }

  /**
   * Room for everything but the gradient, which goes to memory that the caller has.
   *
   * @param gradient {@code [rows, vocabulary]} in the student's type or f32
   * @return a result that owns all but the gradient; close it
   */
  public static TopkDivergenceResult of(Matrix gradient) {
    return new TopkDivergenceResult(gradient, gradient, false);
  }

  /**
   * Room for everything but a gradient: for {@code forward} and {@code forwardBackwardInPlace}.
   *
   * @param student the logits that will be read
   * @return a result that owns its memory; close it
   */
  public static TopkDivergenceResult withoutGradient(Matrix student) {
    return new TopkDivergenceResult(student, null, false);
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
          "TopkDivergenceResult: has no gradient; forwardBackward computes one");
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
   * The student's probability of the teacher's entries together.
   *
   * @return one per row
   */
  public Floats studentMass() {
    return studentMass;
  }

  /**
   * The sum of the teacher's probabilities that were given.
   *
   * @return one per row
   */
  public Floats teacherMass() {
    return teacherMass;
  }

  /**
   * The share of the teacher's entries that are among the student's own K most probable columns.
   *
   * @return one per row, between 0 and 1
   */
  public Floats overlap() {
    return overlap;
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
          "TopkDivergenceResult: has no room for a gradient; allocate() or of(gradient) makes it");
    }
    return room;
  }

  Matrix roomOrNull() {
    return room;
  }

  void write(NativeCall call, long rows) {
    call.out("value", value, rows, TopkDivergenceStruct.VALUE);
    call.out("studentEntropy", studentEntropy, rows, TopkDivergenceStruct.STUDENT_ENTROPY);
    call.out("studentLse", studentLse, rows, TopkDivergenceStruct.STUDENT_LSE);
    call.out("studentMass", studentMass, rows, TopkDivergenceStruct.STUDENT_MASS);
    call.out("teacherMass", teacherMass, rows, TopkDivergenceStruct.TEACHER_MASS);
    call.out("overlap", overlap, rows, TopkDivergenceStruct.OVERLAP);
    call.out("loss", loss, 1, TopkDivergenceStruct.LOSS);
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
