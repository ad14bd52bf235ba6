package dev.polka.kernel;

import dev.polka.kernel.internal.DivergenceStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;

/**
 * Divergences between a student's and a teacher's distribution over the whole vocabulary, row by
 * row, from their logits, with the gradient for the student: the losses of distillation.
 *
 * <p>With p the student's and q the teacher's distribution:
 *
 * <pre>{@code
 * forwardKl  KL(q || p)
 * reverseKl  KL(p || q)
 * jsd(beta)  beta KL(q || m) + (1 - beta) KL(p || m),  m = beta q + (1 - beta) p
 * loss       sum_r weight_r value_r / divisor
 * }</pre>
 *
 * <p>Both matrices are {@code [rows, vocabulary]} in f32, bf16 or f16, not necessarily the same;
 * arithmetic and per-row values are f32, the loss f64. Softmax options hold for both. A term with
 * probability 0 on its left side contributes 0; a divergence can be infinite. Values are not
 * multiplied by the temperature squared.
 *
 * <p>Sources: Hinton et al. 2015; GKD, Agarwal et al. 2024, in whose convention (also TRL's) {@code
 * jsd(beta) / beta} goes to {@code forwardKl} as beta goes to 0; MiniLLM, Gu et al. 2024, for the
 * reverse direction.
 *
 * <p>Immutable and thread-safe.
 */
public final class Divergence extends LogitsOperation<Divergence> {
  private final int kind;
  private final float beta;
  private final float teacherTemperature; // 0: the student's

  private Divergence(CallOptions options, int kind, float beta, float teacherTemperature) {
    super(options);
    this.kind = kind;
    this.beta = beta;
    this.teacherTemperature = teacherTemperature;
  }

  private static Divergence of(int kind, float beta) {
    return new Divergence(CallOptions.DEFAULT, kind, beta, 0);
  }

  /**
   * KL(teacher || student): the student covers all that the teacher does.
   *
   * @return the operation
   */
  public static Divergence forwardKl() {
    return of(0, 0);
  }

  /**
   * KL(student || teacher): the student keeps to what the teacher does.
   *
   * @return the operation
   */
  public static Divergence reverseKl() {
    return of(1, 0);
  }

  /**
   * The generalised Jensen-Shannon divergence.
   *
   * @param beta the teacher's share of the mixture
   * @return the operation
   * @throws IllegalArgumentException if {@code beta} is not strictly between 0 and 1
   */
  public static Divergence jsd(float beta) {
    if (!(beta > 0 && beta < 1)) {
      throw new IllegalArgumentException(
          "beta: " + beta + " is not in (0, 1); at the ends are forwardKl and reverseKl");
    }
    return of(2, beta);
  }

  @Override
  Divergence with(CallOptions other) {
    return new Divergence(other, kind, beta, teacherTemperature);
  }

  /**
   * Gives the teacher a temperature of its own, the same for all rows.
   *
   * @param temperature the teacher's temperature
   * @return the operation with it
   * @throws IllegalArgumentException if {@code temperature} is not finite and > 0
   */
  public Divergence withTeacherTemperature(float temperature) {
    float own = Require.positive("teacherTemperature", temperature);
    return new Divergence(options, kind, beta, own);
  }

  /**
   * Computes values and loss.
   *
   * @param student the student's logits
   * @param teacher the teacher's logits, of the same shape
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts, since rows know no
   *     sequences
   * @return a result without gradient; close it
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other
   */
  public DivergenceResult forward(
      Matrix student, Matrix teacher, Rows rows, Normalizer normalizer) {
    return filled(
        DivergenceResult.withoutGradient(student), false, student, teacher, rows, normalizer);
  }

  /**
   * Computes values and loss into memory that exists. Allocates nothing.
   *
   * @param student the student's logits
   * @param teacher the teacher's logits, of the same shape
   * @param rows which rows count
   * @param normalizer what the loss is divided by
   * @param out written; a gradient it has room for is left as it is
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other
   */
  public void forward(
      Matrix student, Matrix teacher, Rows rows, Normalizer normalizer, DivergenceResult out) {
    run(student, teacher, rows, normalizer, null, out);
  }

  /**
   * Computes values, loss and the gradient for the student's logits.
   *
   * @param student the student's logits
   * @param teacher the teacher's logits, of the same shape
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @return a result with a gradient in the student's type; close it
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other
   */
  public DivergenceResult forwardBackward(
      Matrix student, Matrix teacher, Rows rows, Normalizer normalizer) {
    return filled(DivergenceResult.allocate(student), false, student, teacher, rows, normalizer);
  }

  /**
   * Computes values, loss and gradient into memory that exists. Allocates nothing.
   *
   * @param student the student's logits
   * @param teacher the teacher's logits, of the same shape
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @param out written; its gradient is of the student's type or f32, and not the student's memory
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or the
   *     gradient overlaps an input
   * @throws IllegalStateException if {@code out} has no gradient
   */
  public void forwardBackward(
      Matrix student, Matrix teacher, Rows rows, Normalizer normalizer, DivergenceResult out) {
    Require.sameShape("gradient", out.room(), student);
    run(student, teacher, rows, normalizer, out.room(), out);
  }

  /**
   * Computes values and loss, and replaces the student's logits by their gradient.
   *
   * @param student the student's logits; read, then overwritten row by row
   * @param teacher the teacher's logits, of the same shape
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @return a result whose gradient is {@code student}; close it
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or the
   *     logits are f16 and no gradient scale is set
   */
  public DivergenceResult forwardBackwardInPlace(
      Matrix student, Matrix teacher, Rows rows, Normalizer normalizer) {
    return filled(
        DivergenceResult.withoutGradient(student), true, student, teacher, rows, normalizer);
  }

  /**
   * Computes values and loss into memory that exists, and replaces the student's logits by their
   * gradient. Allocates nothing.
   *
   * @param student the student's logits; read, then overwritten row by row
   * @param teacher the teacher's logits, of the same shape
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @param out written; its gradient is {@code student} from now on
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or the
   *     logits are f16 and no gradient scale is set
   */
  public void forwardBackwardInPlace(
      Matrix student, Matrix teacher, Rows rows, Normalizer normalizer, DivergenceResult out) {
    run(student, teacher, rows, normalizer, student, out);
  }

  private DivergenceResult filled(
      DivergenceResult out,
      boolean inPlace,
      Matrix student,
      Matrix teacher,
      Rows rows,
      Normalizer normalizer) {
    try {
      run(student, teacher, rows, normalizer, inPlace ? student : out.roomOrNull(), out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  private void run(
      Matrix studentLogits,
      Matrix teacherLogits,
      Rows rows,
      Normalizer normalizer,
      Matrix gradient,
      DivergenceResult out) {
    Require.sameShape("teacher", teacherLogits, studentLogits);
    Softmax softmax = options.softmax();
    if (normalizer.tokenCounts() != null) {
      throw new IllegalArgumentException(
          "normalizer: divides sequences by their token counts, but rows know no sequences");
    }
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(DivergenceStruct.SIZE);
      call.in("student", studentLogits, DivergenceStruct.STUDENT);
      if (gradient == studentLogits) {
        call.inPlace("student", studentLogits, DivergenceStruct.D_STUDENT);
      } else if (gradient != null) {
        call.out("gradient", gradient, DivergenceStruct.D_STUDENT);
      }
      call.in("teacher", teacherLogits, DivergenceStruct.TEACHER);
      softmax.write(call, struct, DivergenceStruct.STUDENT_SOFTMAX, studentLogits);
      softmax.write(call, struct, DivergenceStruct.TEACHER_SOFTMAX, teacherLogits);
      if (teacherTemperature != 0) {
        Softmax.overrideTemperature(struct, DivergenceStruct.TEACHER_SOFTMAX, teacherTemperature);
      }
      rows.write(call, studentLogits.rows(), DivergenceStruct.MASK, DivergenceStruct.ROW_WEIGHT);
      out.write(call, studentLogits.rows());
      struct.putDouble(DivergenceStruct.DIVISOR, normalizer.divisor());
      struct.putFloat(DivergenceStruct.GRADIENT_SCALE, options.gradientScale());
      struct.putFloat(DivergenceStruct.BETA, beta);
      struct.putInt(DivergenceStruct.KIND, kind);
      call.exec(options.threads());
      int status = PolkaNative.polka_divergence_workspace(call.divergence());
      NativeStatus.check(status, studentLogits.device());
      call.provideWorkspace();
      status = PolkaNative.polka_divergence(call.divergence());
      NativeStatus.check(status, studentLogits.device());
      call.completed();
      out.wrote(gradient, call.ranTarget());
    } finally {
      call.exit();
    }
  }
}
