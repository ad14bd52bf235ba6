package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.VocabDivergenceStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.kernel.internal.gen.polka_vocab_divergence_args;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;
import java.util.function.ToIntFunction;

/**
 * A {@link Divergence} of logits whose columns are split over ranks. Both sides' statistics are
 * merged first ({@link VocabLogProb}, without targets); then each rank computes the {@link #totals}
 * of its shard, any all-gather brings them together, {@link #merge} gives every rank the same
 * values, and {@link #backward} the gradient of its shard.
 *
 * <p>Shards are {@code [rows, their columns]} in f32, bf16 or f16, the same columns on both sides.
 * On the CPU only.
 *
 * <p>Immutable and thread-safe.
 */
public final class VocabDivergence extends LogitsOperation<VocabDivergence> {
  /** Numbers a row in the totals of a shard. */
  public static final int TOTALS = 4;

  private final DivergenceOptions which;

  private VocabDivergence(CallOptions options, DivergenceOptions which) {
    super(options);
    this.which = which;
  }

  /**
   * Any divergence, on shards, under the same softmax options.
   *
   * @param divergence the divergence over the whole vocabulary
   * @return the operation
   * @throws IllegalArgumentException if {@code divergence} has a reference, log weights or a common
   *     prefix
   */
  public static VocabDivergence of(Divergence divergence) {
    divergence.which().requireTwoSoftmaxes();
    return new VocabDivergence(divergence.options(), divergence.which());
  }

  @Override
  VocabDivergence with(CallOptions other) {
    return new VocabDivergence(other, which);
  }

  /**
   * Computes what the other ranks need to know of a shard.
   *
   * @param student the student's logits of the shard
   * @param teacher the teacher's logits of the same columns
   * @param rows which rows count
   * @param studentMerged the merged statistics of the student's whole rows
   * @param teacherMerged the merged statistics of the teacher's whole rows
   * @param out written: {@code [rows, TOTALS]}
   * @throws IllegalArgumentException if sizes, devices or options do not fit each other
   */
  public void totals(
      Matrix student,
      Matrix teacher,
      Rows rows,
      VocabLogProbs studentMerged,
      VocabLogProbs teacherMerged,
      Doubles out) {
    run(
        student,
        rows,
        call -> {
          sides(call, student, teacher, studentMerged, teacherMerged);
          call.out("totals", out, words(student, 1), VocabDivergenceStruct.TOTALS);
        },
        1,
        PolkaNative::polka_vocab_divergence_totals);
  }

  /**
   * Merges the shards of each row.
   *
   * @param student the student's logits of any shard, for their number of rows
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @param totals {@code [shards, rows, TOTALS]}, gathered in the shards' order
   * @param shards their number
   * @param merged written: {@code [rows, TOTALS]}, for {@link #backward}
   * @param value written: the divergence of each row
   * @param loss written: one number
   * @throws IllegalArgumentException if sizes, devices or options do not fit each other
   */
  public void merge(
      Matrix student,
      Rows rows,
      Normalizer normalizer,
      Doubles totals,
      int shards,
      Doubles merged,
      Floats value,
      Doubles loss) {
    run(
        student,
        rows,
        call -> {
          call.in("totals", totals, words(student, shards), VocabDivergenceStruct.TOTALS);
          call.put(VocabDivergenceStruct.SHARDS, shards);
          call.out("merged", merged, words(student, 1), VocabDivergenceStruct.MERGED);
          call.out("value", value, student.rows(), VocabDivergenceStruct.VALUE);
          call.out("loss", loss, 1, VocabDivergenceStruct.LOSS);
        },
        divisor(normalizer),
        PolkaNative::polka_vocab_divergence_merge);
  }

  /**
   * Computes the gradient of a shard.
   *
   * @param student the student's logits of the shard
   * @param teacher the teacher's logits of the same columns
   * @param rows which rows count
   * @param normalizer what the loss is divided by; not one with token counts
   * @param studentMerged the merged statistics of the student's whole rows
   * @param teacherMerged the merged statistics of the teacher's whole rows
   * @param merged from the merge
   * @param out written: the shard's shape, in its type or f32; the student itself for in place
   * @throws IllegalArgumentException if sizes, devices or options do not fit each other
   */
  public void backward(
      Matrix student,
      Matrix teacher,
      Rows rows,
      Normalizer normalizer,
      VocabLogProbs studentMerged,
      VocabLogProbs teacherMerged,
      Doubles merged,
      Matrix out) {
    run(
        student,
        rows,
        call -> {
          if (out == student) {
            call.inPlace("student", student, VocabDivergenceStruct.D_STUDENT);
          } else {
            call.out("out", out, VocabDivergenceStruct.D_STUDENT);
          }
          sides(call, student, teacher, studentMerged, teacherMerged);
          call.in("merged", merged, words(student, 1), VocabDivergenceStruct.MERGED);
        },
        divisor(normalizer),
        PolkaNative::polka_vocab_divergence_backward);
  }

  private void sides(
      NativeCall call, Matrix student, Matrix teacher, VocabLogProbs p, VocabLogProbs q) {
    ByteBuffer struct = call.struct();
    Require.sameShape("teacher", teacher, student);
    call.in("teacher", teacher, VocabDivergenceStruct.TEACHER);
    options.softmax().write(call, struct, VocabDivergenceStruct.STUDENT_SOFTMAX, student);
    options.softmax().write(call, struct, VocabDivergenceStruct.TEACHER_SOFTMAX, teacher);
    if (which.teacherTemperature() != 0) {
      Softmax.overrideTemperature(
          struct, VocabDivergenceStruct.TEACHER_SOFTMAX, which.teacherTemperature());
    }
    p.writePair(
        call,
        student.rows(),
        VocabDivergenceStruct.STUDENT_MAX,
        VocabDivergenceStruct.STUDENT_LOG_SUM);
    q.writePair(
        call,
        student.rows(),
        VocabDivergenceStruct.TEACHER_MAX,
        VocabDivergenceStruct.TEACHER_LOG_SUM);
  }

  private static long words(Matrix shard, int shards) {
    return Math.multiplyExact(Math.multiplyExact(shard.rows(), (long) TOTALS), (long) shards);
  }

  private static double divisor(Normalizer normalizer) {
    if (normalizer.tokenCounts() != null) {
      throw new IllegalArgumentException(
          "normalizer: divides sequences by their token counts, but rows know no sequences");
    }
    return normalizer.divisor();
  }

  private interface Part {
    void write(NativeCall call);
  }

  private void run(
      Matrix student,
      Rows rows,
      Part part,
      double divisor,
      ToIntFunction<polka_vocab_divergence_args> function) {
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(VocabDivergenceStruct.SIZE);
      call.in("student", student, VocabDivergenceStruct.STUDENT);
      rows.write(
          call, student.rows(), VocabDivergenceStruct.MASK, VocabDivergenceStruct.ROW_WEIGHT);
      part.write(call);
      struct.putDouble(VocabDivergenceStruct.DIVISOR, divisor);
      struct.putFloat(VocabDivergenceStruct.GRADIENT_SCALE, options.gradientScale());
      struct.putFloat(VocabDivergenceStruct.BETA, which.beta());
      struct.putFloat(VocabDivergenceStruct.ALPHA, which.alpha());
      struct.putInt(VocabDivergenceStruct.KIND, which.kind());
      call.exec(options.threads());
      NativeStatus.check(function.applyAsInt(call.vocabDivergence()), student.device());
      call.completed();
    } finally {
      call.exit();
    }
  }
}
