package dev.polka.kernel;

import dev.polka.kernel.internal.DivergenceStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Divergences between a student's and a teacher's distribution over the whole vocabulary, row by
 * row, from their logits, with the gradient for the student: the losses of distillation.
 *
 * <p>With p the student's and q the teacher's distribution:
 *
 * <pre>{@code
 * forwardKl            KL(q || p)
 * reverseKl            KL(p || q)
 * jsd(beta)            beta KL(q || m) + (1 - beta) KL(p || m),  m = beta q + (1 - beta) p
 * skewForwardKl(beta)  KL(q || beta q + (1 - beta) p)
 * skewReverseKl(beta)  KL(p || beta p + (1 - beta) q)
 * totalVariation       1/2 sum |p - q|
 * chiSquared           sum (p - q)^2 / q
 * alpha(a)             (sum q^a p^(1 - a) - 1) / (a (a - 1))
 * generalizedKl        sum q ln(q / p) - q + p
 * loss                 sum_r weight_r value_r / divisor
 * }</pre>
 *
 * <p>Both matrices are {@code [rows, vocabulary]} in f32, bf16 or f16, not necessarily the same;
 * arithmetic and per-row values are f32, the loss f64. Softmax options hold for both. A term with
 * probability 0 on its left side contributes 0; a divergence can be infinite, and then its row has
 * no gradient. Values are not multiplied by the temperature squared. The weight of a row is also
 * the place for an upstream gradient of its value.
 *
 * <p>Sources: Hinton et al. 2015; GKD, Agarwal et al. 2024, in whose convention (also TRL's) {@code
 * jsd(beta) / beta} goes to {@code forwardKl} as beta goes to 0; MiniLLM, Gu et al. 2024, for the
 * reverse direction; DistiLLM, Ko et al. 2024, for the skewed ones; Amari for alpha.
 *
 * <p>On CUDA there are forwardKl, reverseKl and jsd, of teacher logits without a reference.
 *
 * <p>Immutable and thread-safe.
 */
public final class Divergence extends LogitsOperation<Divergence> {
  private final DivergenceOptions which;

  private Divergence(CallOptions options, DivergenceOptions which) {
    super(options);
    this.which = which;
  }

  private static Divergence of(DivergenceOptions which) {
    return new Divergence(CallOptions.DEFAULT, which);
  }

  /**
   * KL(teacher || student): the student covers all that the teacher does.
   *
   * @return the operation
   */
  public static Divergence forwardKl() {
    return of(DivergenceOptions.of(0));
  }

  /**
   * KL(student || teacher): the student keeps to what the teacher does.
   *
   * @return the operation
   */
  public static Divergence reverseKl() {
    return of(DivergenceOptions.of(1));
  }

  /**
   * The generalised Jensen-Shannon divergence.
   *
   * @param beta the teacher's share of the mixture
   * @return the operation
   * @throws IllegalArgumentException if {@code beta} is not strictly between 0 and 1
   */
  public static Divergence jsd(float beta) {
    return of(DivergenceOptions.of(2).withBeta(beta, "forwardKl and reverseKl"));
  }

  /**
   * KL from the teacher to a mixture that has some of the teacher in it: finite always.
   *
   * @param beta the teacher's share of the mixture
   * @return the operation
   * @throws IllegalArgumentException if {@code beta} is not strictly between 0 and 1
   */
  public static Divergence skewForwardKl(float beta) {
    return of(DivergenceOptions.of(3).withBeta(beta, "forwardKl and 0"));
  }

  /**
   * KL from the student to a mixture that has some of the student in it: finite always.
   *
   * @param beta the student's share of the mixture
   * @return the operation
   * @throws IllegalArgumentException if {@code beta} is not strictly between 0 and 1
   */
  public static Divergence skewReverseKl(float beta) {
    return of(DivergenceOptions.of(4).withBeta(beta, "reverseKl and 0"));
  }

  /**
   * The total variation distance, between 0 and 1. Its derivative is 0 where p = q.
   *
   * @return the operation
   */
  public static Divergence totalVariation() {
    return of(DivergenceOptions.of(5));
  }

  /**
   * Pearson's chi-squared divergence of the student from the teacher.
   *
   * @return the operation
   */
  public static Divergence chiSquared() {
    return of(DivergenceOptions.of(6));
  }

  /**
   * Amari's alpha divergence: reverseKl as alpha goes to 0, forwardKl as it goes to 1, four times
   * the squared Hellinger distance at 1/2.
   *
   * @param alpha the teacher's exponent
   * @return the operation
   * @throws IllegalArgumentException if {@code alpha} is not finite, or 0 or 1
   */
  public static Divergence alpha(float alpha) {
    return of(DivergenceOptions.of(7).withAlpha(alpha));
  }

  /**
   * The KL divergence of measures, forwardKl between distributions: with {@link
   * #withTeacherLogWeights()}, soft targets that need not sum to 1, it is never negative.
   *
   * @return the operation
   */
  public static Divergence generalizedKl() {
    return of(DivergenceOptions.of(8));
  }

  CallOptions options() {
    return options;
  }

  DivergenceOptions which() {
    return which;
  }

  @Override
  Divergence with(CallOptions other) {
    return new Divergence(other, which);
  }

  private Divergence with(DivergenceOptions other) {
    return new Divergence(options, other);
  }

  /**
   * Gives the teacher a temperature of its own, the same for all rows.
   *
   * @param temperature the teacher's temperature
   * @return the operation with it
   * @throws IllegalArgumentException if {@code temperature} is not finite and >= {@link
   *     Float#MIN_NORMAL}, or the teacher's rows are log weights
   */
  public Divergence withTeacherTemperature(float temperature) {
    return with(which.withTeacherTemperature(temperature));
  }

  /**
   * Takes the teacher's rows as ln q, without a softmax of their own: soft targets whose sum over
   * the vocabulary can be anything, such as a truncated teacher's. No temperature and no softcap
   * apply to them; {@link DivergenceResult#teacherLse()} is the log of their sum. The KLs and skews
   * are then the plain sums of {@code q ln(q / .)} or {@code p ln(p / .)} and can be negative; the
   * other kinds, {@link #generalizedKl()} among them, cannot.
   *
   * @return the operation with it
   * @throws IllegalArgumentException if a teacher temperature or a reference is set
   */
  public Divergence withTeacherLogWeights() {
    return with(which.withLogWeights());
  }

  /**
   * Replaces the teacher's logits by {@code lambda teacher + (1 - lambda) reference}, after the
   * softcap and before the temperature: beyond 1 the target goes further than the teacher went from
   * its reference (ExOPD). A column at -inf in either is at -inf.
   *
   * @param reference logits of the teacher's shape; a view that calls read
   * @param lambda the teacher's factor
   * @return the operation with it
   * @throws IllegalArgumentException if {@code lambda} is not finite, or the teacher's rows are log
   *     weights
   */
  public Divergence withReference(Matrix reference, float lambda) {
    return with(which.withReference(Objects.requireNonNull(reference, "reference"), lambda));
  }

  /**
   * Allows matrices of different width: both sides are renormalised over the columns that both
   * have; the student's others get gradient 0. Without it, and without {@link #withValidVocab}, a
   * difference is refused.
   *
   * @return the operation with it
   */
  public Divergence withCommonPrefix() {
    return with(which.withCommonPrefix());
  }

  /**
   * Computes values and loss.
   *
   * @param student the student's logits
   * @param teacher the teacher's logits, one row for each of the student's
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
   * @param teacher the teacher's logits, one row for each of the student's
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
   * @param teacher the teacher's logits, one row for each of the student's
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
   * @param teacher the teacher's logits, one row for each of the student's
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @param out written; its gradient is of the student's type or f32, and not the student's memory
   * @throws IllegalArgumentException if shapes, devices or options do not fit each other, or the
   *     gradient overlaps an input
   * @throws IllegalStateException if {@code out} has no gradient
   */
  public void forwardBackward(
      Matrix student, Matrix teacher, Rows rows, Normalizer normalizer, DivergenceResult out) {
    Objects.requireNonNull(student, "student");
    Objects.requireNonNull(out, "out");
    Require.sameShape("gradient", out.room(), student);
    Require.notInPlace("gradient", out.room(), student);
    run(student, teacher, rows, normalizer, out.room(), out);
  }

  /**
   * Computes values and loss, and replaces the student's logits by their gradient.
   *
   * @param student the student's logits; read, then overwritten row by row
   * @param teacher the teacher's logits, one row for each of the student's
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
   * @param teacher the teacher's logits, one row for each of the student's
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
    Objects.requireNonNull(studentLogits, "student");
    Objects.requireNonNull(teacherLogits, "teacher");
    Objects.requireNonNull(rows, "rows");
    Objects.requireNonNull(normalizer, "normalizer");
    Objects.requireNonNull(out, "out");
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
      softmax.write(call, struct, DivergenceStruct.STUDENT_SOFTMAX, studentLogits);
      which.write(call, struct, studentLogits, teacherLogits, softmax);
      rows.write(call, studentLogits.rows(), DivergenceStruct.MASK, DivergenceStruct.ROW_WEIGHT);
      out.write(call, studentLogits.rows());
      struct.putDouble(DivergenceStruct.DIVISOR, normalizer.divisor());
      struct.putFloat(DivergenceStruct.GRADIENT_SCALE, options.gradientScale());
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
