package dev.polka.torch;

import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbGradients;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.Targets;
import dev.polka.memory.Device;
import java.lang.ref.Reference;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * {@link LogProb} from hidden states and a {@link LinearHead}, without the {@code [N, V]} matrix of
 * logits: chunks of rows go through libtorch's GEMM into memory of a fixed size, and the kernel
 * works on them there. The gradient needs the logits again and computes them again: one GEMM more
 * than with logits that were kept.
 *
 * <p>Rows that are skipped (see {@link Targets}) are left out of every GEMM. The log-probs are
 * those of {@link LogProb} on the same logits, bit for bit; the logits are those that libtorch's
 * GEMM gives for a chunk, and a chunk has the same number of rows in every call with the same head
 * and budget. bf16 hidden states and weight give bf16 logits.
 *
 * <p>A step of training, where {@code hidden} is the output of the model's body and {@code weight}
 * that of its head:
 *
 * <pre>{@code
 * LinearHead head = LinearHead.of(weight);
 * LinearLogProb operation = LinearLogProb.of(LogProb.plain().withEntropy());
 * try (LogProbs out = operation.forward(hidden, head, targets)) {
 *   Floats dLogProb = ..., dEntropy = ...;    // of out.logProb() and out.entropy(), one per row
 *   var upstream = LogProbGradients.of(dLogProb).withEntropy(dEntropy);
 *   try (LinearGradients g = operation.backward(hidden, head, targets, out, upstream)) {
 *     Torch.backward(Root.of(hidden, g.hidden()), Root.of(weight, g.weight()));
 *   }
 * }
 * }</pre>
 *
 * <p>Sources: Liger's fused linear losses and quack's chunks for the shape of the computation; verl
 * and Liger for an entropy that has a gradient. Unlike some, the weight's gradient is summed in f32
 * over all chunks, and no gradient is dropped for being small.
 *
 * <p>Immutable and thread-safe, as its {@link LogProb} is. GEMMs run on libtorch's threads.
 */
public final class LinearLogProb {
  private final LogProb operation;
  private final MemoryBudget budget;

  private LinearLogProb(LogProb operation, MemoryBudget budget) {
    this.operation = operation;
    this.budget = budget;
  }

  /**
   * The operation on hidden states.
   *
   * @param operation what is made of the logits; not one with a keep-mask
   * @return the operation, with a memory budget of 232 MiB
   */
  public static LinearLogProb of(LogProb operation) {
    return new LinearLogProb(Objects.requireNonNull(operation, "operation"), MemoryBudget.DEFAULT);
  }

  /**
   * Limits the memory of the chunks: what a call takes besides its results, some numbers per row,
   * and what libtorch's GEMM takes for its own use, which can be as much again and is kept for the
   * next. More memory makes the GEMMs larger.
   *
   * @param bytes bytes at most
   * @return the operation with it
   * @throws IllegalArgumentException if {@code bytes} is less than 1; calls throw it where not even
   *     one row fits
   */
  public LinearLogProb withMemoryBudget(long bytes) {
    return new LinearLogProb(operation, new MemoryBudget(bytes));
  }

  /**
   * Limits the threads of the kernels. Those of the GEMMs are libtorch's ({@code
   * torch.set_num_threads}).
   *
   * @param threads threads at most; 0 for {@link dev.polka.kernel.Backend#threads()}
   * @return the operation with it
   * @throws IllegalArgumentException if {@code threads} is negative
   */
  public LinearLogProb withThreads(int threads) {
    return new LinearLogProb(operation.withThreads(threads), budget);
  }

  /**
   * Computes log-probs and the outputs asked for.
   *
   * @param hidden {@code [N, D]} or {@code [B, T, D]}, of the weight's type, contiguous
   * @param head the head
   * @param targets one per row
   * @return the outputs, one per row, 0 for skipped rows; close them
   * @throws IllegalArgumentException if shapes, types, devices or options do not fit each other, or
   *     the budget does not suffice for one row
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
   */
  public LogProbs forward(Tensor hidden, LinearHead head, Targets targets) {
    long rows = HeadLogProbs.rows(operation, hidden, head);
    long perChunk = HeadChunks.rows(head, budget);
    LogProbs out = operation.allocate(Torch.placement(hidden), rows);
    try (PointerScope scope = new PointerScope()) {
      TensorView.of(out.all()).zero_();
      KeptRows kept = HeadLogProbs.kept(operation, hidden, head, targets);
      HeadChunks chunks = new HeadChunks(hidden, head, kept, perChunk, null);
      try (var logProbs = new HeadLogProbs(operation, kept, chunks, perChunk, out)) {
        HeadChunks.forEach(kept.count(), perChunk, logProbs::forward);
      }
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    } finally {
      Reference.reachabilityFence(this);
      Reference.reachabilityFence(targets);
    }
  }

  /**
   * Computes the gradients for hidden states and head.
   *
   * @param hidden the hidden states that {@code saved} came from
   * @param head the head that {@code saved} came from
   * @param targets the targets that {@code saved} came from
   * @param saved the outputs of {@link #forward} of this operation
   * @param upstream the gradients of the loss for those outputs
   * @return the gradients; close them
   * @throws IllegalArgumentException if shapes, types, devices or options do not fit each other, or
   *     {@code saved} lacks an output that {@code upstream} is about
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
   */
  public LinearGradients backward(
      Tensor hidden, LinearHead head, Targets targets, LogProbs saved, LogProbGradients upstream) {
    long rows = HeadLogProbs.rows(operation, hidden, head);
    Device device = Torch.deviceOf(hidden);
    KeptRows.require("saved logProb", saved.logProb(), rows, device);
    KeptRows.require("upstream logProb", upstream.logProb(), rows, device);
    KeptRows.require("upstream entropy", upstream.entropy(), rows, device);
    KeptRows.require("upstream selfCertainty", upstream.selfCertainty(), rows, device);
    long perChunk = HeadChunks.rows(head, budget);
    LinearGradients out = LinearGradients.allocate(head, hidden);
    try (PointerScope scope = new PointerScope()) {
      KeptRows kept = HeadLogProbs.kept(operation, hidden, head, targets);
      HeadChunks chunks = new HeadChunks(hidden, head, kept, perChunk, out);
      try (var logProbs = new HeadLogProbs(operation, kept, chunks, perChunk, saved)) {
        HeadChunks.forEach(
            kept.count(),
            perChunk,
            (from, to) -> {
              logProbs.restore(from, to);
              logProbs.backward(from, to, upstream);
            });
      }
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    } finally {
      Reference.reachabilityFence(this);
      Reference.reachabilityFence(targets);
      Reference.reachabilityFence(saved);
      Reference.reachabilityFence(upstream);
    }
  }
}
