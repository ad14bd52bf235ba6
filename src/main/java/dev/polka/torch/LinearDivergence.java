package dev.polka.torch;

import dev.polka.kernel.Divergence;
import dev.polka.kernel.DivergenceResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.Rows;
import dev.polka.memory.Device;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.lang.ref.Reference;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * {@link Divergence} from a student's hidden states and {@link LinearHead} and a teacher's, or the
 * teacher's logits, without a {@code [N, V]} matrix for the student: each chunk of rows goes
 * forward and back in memory of a fixed size. Gradients are the student's alone.
 *
 * <p>Rows that are masked are left out of every GEMM. A divergence is of a row, so one pass is
 * enough: three GEMMs for the student and one for the teacher.
 *
 * <pre>{@code
 * LinearHead head = LinearHead.of(weight);
 * TeacherLogits teacher = TeacherLogits.of(teacherHidden, LinearHead.of(teacherWeight));
 * try (LinearDivergenceResult r = LinearDivergence.of(Divergence.reverseKl())
 *     .forwardBackward(hidden, head, teacher, Rows.all().withMask(mask), Normalizer.tokens(n))) {
 *   Torch.backward(
 *       Root.of(hidden, r.gradients().hidden()), Root.of(weight, r.gradients().weight()));
 * }
 * }</pre>
 *
 * <p>Sources: GKD, Agarwal et al. 2024, and MiniLLM, Gu et al. 2024, for the losses; Liger's fused
 * linear JSD for the shape of the computation.
 *
 * <p>Immutable and thread-safe, as its {@link Divergence} is. GEMMs run on libtorch's threads.
 */
public final class LinearDivergence {
  private final Divergence operation;
  private final MemoryBudget budget;

  private LinearDivergence(Divergence operation, MemoryBudget budget) {
    this.operation = operation;
    this.budget = budget;
  }

  /**
   * The divergence on hidden states.
   *
   * @param operation which divergence; not one with a keep-mask or a matrix of its own
   * @return the operation, with a memory budget of 232 MiB
   */
  public static LinearDivergence of(Divergence operation) {
    return new LinearDivergence(
        Objects.requireNonNull(operation, "operation"), MemoryBudget.DEFAULT);
  }

  /**
   * Limits the memory of the chunks of student and teacher together, as {@link
   * LinearLogProb#withMemoryBudget} does.
   *
   * @param bytes bytes at most
   * @return the operation with it
   * @throws IllegalArgumentException if {@code bytes} is less than 1; calls throw it where not even
   *     one row fits
   */
  public LinearDivergence withMemoryBudget(long bytes) {
    return new LinearDivergence(operation, new MemoryBudget(bytes));
  }

  /**
   * Limits the threads of the kernels. Those of the GEMMs are libtorch's ({@code
   * torch.set_num_threads}).
   *
   * @param threads threads at most; 0 for {@link dev.polka.kernel.Backend#threads()}
   * @return the operation with it
   * @throws IllegalArgumentException if {@code threads} is negative
   */
  public LinearDivergence withThreads(int threads) {
    return new LinearDivergence(operation.withThreads(threads), budget);
  }

  /**
   * Computes values and loss.
   *
   * @param hidden the student's {@code [N, D]} or {@code [B, T, D]}, contiguous
   * @param head the student's head
   * @param teacher the teacher's logits, or what they come from, one row for each of the student's
   * @param rows which rows count, and how much
   * @param normalizer what the loss is divided by; not one with token counts
   * @return a result without gradients; close it
   * @throws IllegalArgumentException if shapes, types, devices or options do not fit each other, or
   *     the budget does not suffice for one row
   */
  public LinearDivergenceResult forward(
      Tensor hidden, LinearHead head, TeacherLogits teacher, Rows rows, Normalizer normalizer) {
    return run(hidden, head, teacher, rows, normalizer, false);
  }

  /**
   * Computes values, loss and the gradients for the student's hidden states and head.
   *
   * @param hidden the student's {@code [N, D]} or {@code [B, T, D]}, contiguous
   * @param head the student's head
   * @param teacher the teacher's logits, or what they come from, one row for each of the student's
   * @param rows which rows count, and how much
   * @param normalizer what the loss is divided by; not one with token counts
   * @return a result with gradients; close it
   * @throws IllegalArgumentException as {@link #forward}
   */
  public LinearDivergenceResult forwardBackward(
      Tensor hidden, LinearHead head, TeacherLogits teacher, Rows rows, Normalizer normalizer) {
    return run(hidden, head, teacher, rows, normalizer, true);
  }

  private LinearDivergenceResult run(
      Tensor hidden,
      LinearHead head,
      TeacherLogits teacher,
      Rows rows,
      Normalizer normalizer,
      boolean backward) {
    long total = HeadLogProbs.rows(operation.logProb(), hidden, head);
    Device device = Torch.deviceOf(hidden);
    teacher.requireFitting(total, device);
    long perRow = Math.addExact(HeadChunks.bytesPerRow(head, true), teacher.bytesPerRow());
    long perChunk = budget.rows(perRow, HeadChunks.fixedBytes(head));
    var out =
        new LinearDivergenceResult(
            Torch.placement(hidden),
            total,
            backward ? LinearGradients.allocate(head, hidden) : null);
    try (PointerScope scope = new PointerScope()) {
      KeptRows kept = KeptRows.of(rows, total, device);
      HeadChunks student =
          new HeadChunks(hidden, head, kept, perChunk, backward ? out.gradients() : null);
      TeacherLogits.Chunks teachers = teacher.chunks(kept, perChunk);
      HeadChunks.forEach(
          kept.count(),
          perChunk,
          (from, to) -> {
            Divergence chunk = at(kept, from, to);
            Rows counted = weighted(rows, kept, from, to);
            Matrix p = student.logits(from, to);
            Matrix q = teachers.logits(from, to);
            Matrix room = student.gradient(from, to);
            try (DivergenceResult part =
                backward && !student.inPlace()
                    ? DivergenceResult.of(room)
                    : DivergenceResult.withoutGradient(p)) {
              if (!backward) {
                chunk.forward(p, q, counted, normalizer, part);
              } else if (student.inPlace()) {
                chunk.forwardBackwardInPlace(p, q, counted, normalizer, part);
              } else {
                chunk.forwardBackward(p, q, counted, normalizer, part);
              }
              out.add(part, kept, from, to);
            }
            if (backward) {
              student.backward(from, to);
            }
          });
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    } finally {
      Reference.reachabilityFence(this);
      Reference.reachabilityFence(rows);
    }
  }

  private Divergence at(KeptRows kept, long from, long to) {
    Floats temperature = operation.rowTemperature();
    return temperature == null
        ? operation
        : operation.withRowTemperature(
            Torch.floats(kept.take(TensorView.of(temperature), 0, from, to)));
  }

  private static Rows weighted(Rows rows, KeptRows kept, long from, long to) {
    return rows.weight() == null
        ? Rows.all()
        : Rows.all().withWeight(Torch.floats(kept.take(TensorView.of(rows.weight()), 0, from, to)));
  }
}
