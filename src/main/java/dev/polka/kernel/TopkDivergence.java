package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.TopkDivergenceStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * A {@link Divergence} from a teacher that is known by K columns of each row: what a server returns
 * as top log-probs, or a file holds.
 *
 * <p>With p_k the student's probability of entry k under the softmax of its whole row and q_k the
 * teacher's, the value is the divergence of (p_k) and (q_k), with the columns between as the {@link
 * Tail} says. The gradient is the exact one of that value for all logits of the row: under {@code
 * Tail.NONE} that of forwardKl is {@code M p_v - q_v}, M the sum of the q_k, also for a column v
 * that the teacher does not name. Under {@code Tail.NONE} the KLs and skews are plain sums of
 * {@code q ln(q / .)} or {@code p ln(p / .)} and can be negative.
 *
 * <p>Student logits are {@code [rows, vocabulary]} in f32, bf16 or f16; per-row values are f32, the
 * loss f64. On the CPU only.
 *
 * <p>Sources: verl's forward KL on the teacher's top K (its Megatron form has this gradient), TRL's
 * tail bucket, NeMo-RL's renormalised form.
 *
 * <p>Immutable and thread-safe.
 */
public final class TopkDivergence extends LogitsOperation<TopkDivergence> {
  private final DivergenceOptions which;
  private final Tail tail;

  private TopkDivergence(CallOptions options, DivergenceOptions which, Tail tail) {
    super(options);
    this.which = which;
    this.tail = tail;
  }

  /**
   * KL(teacher || student), with a tail bucket.
   *
   * @return the operation
   */
  public static TopkDivergence forwardKl() {
    return of(Divergence.forwardKl());
  }

  /**
   * KL(student || teacher), with a tail bucket.
   *
   * @return the operation
   */
  public static TopkDivergence reverseKl() {
    return of(Divergence.reverseKl());
  }

  /**
   * The generalised Jensen-Shannon divergence, with a tail bucket.
   *
   * @param beta the teacher's share of the mixture
   * @return the operation
   * @throws IllegalArgumentException if {@code beta} is not strictly between 0 and 1
   */
  public static TopkDivergence jsd(float beta) {
    return of(Divergence.jsd(beta));
  }

  /**
   * Any divergence on K entries, with a tail bucket, under the same softmax options.
   *
   * @param divergence the divergence over the whole vocabulary
   * @return the operation
   * @throws IllegalArgumentException if {@code divergence} has options for a teacher of whole rows
   */
  public static TopkDivergence of(Divergence divergence) {
    divergence.which().requireNoTeacherOptions();
    return new TopkDivergence(divergence.options(), divergence.which(), Tail.BUCKET);
  }

  @Override
  TopkDivergence with(CallOptions other) {
    return new TopkDivergence(other, which, tail);
  }

  /**
   * Chooses what stands for the columns that the teacher does not name.
   *
   * @param choice the tail
   * @return the operation with it
   */
  public TopkDivergence withTail(Tail choice) {
    return new TopkDivergence(options, which, Objects.requireNonNull(choice, "tail"));
  }

  /**
   * Computes values and loss.
   *
   * @param student the student's logits
   * @param teacher the teacher's entries, K for each row of the student's
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts, since rows know no
   *     sequences
   * @return a result without gradient; close it
   * @throws IndexOutOfBoundsException if a row has a column outside the vocabulary, or one twice
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other
   */
  public TopkDivergenceResult forward(
      Matrix student, TopkTeacher teacher, Rows rows, Normalizer normalizer) {
    return filled(
        TopkDivergenceResult.withoutGradient(student), false, student, teacher, rows, normalizer);
  }

  /**
   * Computes values and loss into memory that exists. Allocates nothing.
   *
   * @param student the student's logits
   * @param teacher the teacher's entries, K for each row of the student's
   * @param rows which rows count
   * @param normalizer what the loss is divided by
   * @param out written; a gradient it has room for is left as it is
   * @throws IndexOutOfBoundsException if a row has a column outside the vocabulary, or one twice
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other
   */
  public void forward(
      Matrix student,
      TopkTeacher teacher,
      Rows rows,
      Normalizer normalizer,
      TopkDivergenceResult out) {
    run(student, teacher, rows, normalizer, null, out);
  }

  /**
   * Computes values, loss and the gradient for the student's logits.
   *
   * @param student the student's logits
   * @param teacher the teacher's entries, K for each row of the student's
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @return a result with a gradient in the student's type; close it
   * @throws IndexOutOfBoundsException if a row has a column outside the vocabulary, or one twice
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other
   */
  public TopkDivergenceResult forwardBackward(
      Matrix student, TopkTeacher teacher, Rows rows, Normalizer normalizer) {
    return filled(
        TopkDivergenceResult.allocate(student), false, student, teacher, rows, normalizer);
  }

  /**
   * Computes values, loss and gradient into memory that exists. Allocates nothing.
   *
   * @param student the student's logits
   * @param teacher the teacher's entries, K for each row of the student's
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @param out written; its gradient is of the student's type or f32, and not the student's memory
   * @throws IndexOutOfBoundsException if a row has a column outside the vocabulary, or one twice
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or the
   *     gradient overlaps an input
   * @throws IllegalStateException if {@code out} has no gradient
   */
  public void forwardBackward(
      Matrix student,
      TopkTeacher teacher,
      Rows rows,
      Normalizer normalizer,
      TopkDivergenceResult out) {
    Require.sameShape("gradient", out.room(), student);
    Require.notInPlace("gradient", out.room(), student);
    run(student, teacher, rows, normalizer, out.room(), out);
  }

  /**
   * Computes values and loss, and replaces the student's logits by their gradient.
   *
   * @param student the student's logits; read, then overwritten row by row
   * @param teacher the teacher's entries, K for each row of the student's
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @return a result whose gradient is {@code student}; close it
   * @throws IndexOutOfBoundsException if a row has a column outside the vocabulary, or one twice
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or the
   *     logits are f16 and no gradient scale is set
   */
  public TopkDivergenceResult forwardBackwardInPlace(
      Matrix student, TopkTeacher teacher, Rows rows, Normalizer normalizer) {
    return filled(
        TopkDivergenceResult.withoutGradient(student), true, student, teacher, rows, normalizer);
  }

  /**
   * Computes values and loss into memory that exists, and replaces the student's logits by their
   * gradient. Allocates nothing.
   *
   * @param student the student's logits; read, then overwritten row by row
   * @param teacher the teacher's entries, K for each row of the student's
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @param out written; its gradient is {@code student} from now on
   * @throws IndexOutOfBoundsException if a row has a column outside the vocabulary, or one twice
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or the
   *     logits are f16 and no gradient scale is set
   */
  public void forwardBackwardInPlace(
      Matrix student,
      TopkTeacher teacher,
      Rows rows,
      Normalizer normalizer,
      TopkDivergenceResult out) {
    run(student, teacher, rows, normalizer, student, out);
  }

  private TopkDivergenceResult filled(
      TopkDivergenceResult out,
      boolean inPlace,
      Matrix student,
      TopkTeacher teacher,
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
      Matrix student,
      TopkTeacher teacher,
      Rows rows,
      Normalizer normalizer,
      Matrix gradient,
      TopkDivergenceResult out) {
    if (normalizer.tokenCounts() != null) {
      throw new IllegalArgumentException(
          "normalizer: divides sequences by their token counts, but rows know no sequences");
    }
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(TopkDivergenceStruct.SIZE);
      call.in("student", student, TopkDivergenceStruct.STUDENT);
      if (gradient == student) {
        call.inPlace("student", student, TopkDivergenceStruct.D_STUDENT);
      } else if (gradient != null) {
        call.out("gradient", gradient, TopkDivergenceStruct.D_STUDENT);
      }
      options.softmax().write(call, struct, TopkDivergenceStruct.SOFTMAX, student);
      teacher.write(call, struct, student.rows());
      rows.write(call, student.rows(), TopkDivergenceStruct.MASK, TopkDivergenceStruct.ROW_WEIGHT);
      out.write(call, student.rows());
      struct.putDouble(TopkDivergenceStruct.DIVISOR, normalizer.divisor());
      struct.putFloat(TopkDivergenceStruct.GRADIENT_SCALE, options.gradientScale());
      struct.putFloat(TopkDivergenceStruct.BETA, which.beta());
      struct.putFloat(TopkDivergenceStruct.ALPHA, which.alpha());
      struct.putInt(TopkDivergenceStruct.KIND, which.kind());
      struct.putInt(TopkDivergenceStruct.TAIL, tail.ordinal());
      call.exec(options.threads());
      int status = PolkaNative.polka_topk_divergence_workspace(call.topkDivergence());
      NativeStatus.check(status, student.device());
      call.provideWorkspace();
      status = PolkaNative.polka_topk_divergence(call.topkDivergence());
      NativeStatus.check(status, student.device());
      call.completed();
      out.wrote(gradient, call.ranTarget());
    } finally {
      call.exit();
    }
  }
}
