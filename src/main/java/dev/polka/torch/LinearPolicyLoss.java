package dev.polka.torch;

import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbGradients;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.TokenBatch;
import java.lang.ref.Reference;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * {@link PolicyLoss} from hidden states and a {@link LinearHead}, without the {@code [N, V]} matrix
 * of logits; see {@link LinearLogProb} for how.
 *
 * <p>Where the gradient of a token depends on its own log-prob alone, each chunk goes forward and
 * back while its logits are there: three GEMMs, as many as the plain way. Where it {@linkplain
 * PolicyLoss#needsWholeSequences depends on the sequence}, as in GSPO, all log-probs come first and
 * the logits are computed again: four. What is known of the whole batch, such as a quantile or a
 * whitened advantage, is an input of the batch either way.
 *
 * <p>Loss and metrics are those of {@link PolicyLoss} on log-probs and entropies, over the whole
 * batch. Old log-probs from a {@link LinearLogProb} of {@link PolicyLoss#logProb()}, with the same
 * budget and on the same batch, give ratios of exactly 1.
 *
 * <pre>{@code
 * LinearHead head = LinearHead.of(weight).withWeightGradient(weight.grad());   // f32, exists
 * LinearPolicyLoss objective = LinearPolicyLoss.of(PolicyLoss.dapo()).withMemoryBudget(256 << 20);
 * try (LinearLossResult r = objective.forwardBackward(hidden, head, batch, Normalizer.tokens(n))) {
 *   Torch.backward(hidden, r.gradients().hidden());   // weight.grad() has its part already
 *   log.info("loss {} kl {}", r.loss(), r.metrics().kl());
 * }
 * }</pre>
 *
 * <p>Immutable and thread-safe, as its {@link PolicyLoss} is. GEMMs run on libtorch's threads.
 */
public final class LinearPolicyLoss {
  private final PolicyLoss objective;
  private final MemoryBudget budget;

  private LinearPolicyLoss(PolicyLoss objective, MemoryBudget budget) {
    this.objective = objective;
    this.budget = budget;
  }

  /**
   * The objective on hidden states.
   *
   * @param objective what is minimised; not one with a keep-mask
   * @return the objective, with a memory budget of 232 MiB
   */
  public static LinearPolicyLoss of(PolicyLoss objective) {
    return new LinearPolicyLoss(
        Objects.requireNonNull(objective, "objective"), MemoryBudget.DEFAULT);
  }

  /**
   * Limits the memory of the chunks, as {@link LinearLogProb#withMemoryBudget} does.
   *
   * @param bytes bytes at most
   * @return the objective with it
   * @throws IllegalArgumentException if {@code bytes} is less than 1; calls throw it where not even
   *     one row fits
   */
  public LinearPolicyLoss withMemoryBudget(long bytes) {
    return new LinearPolicyLoss(objective, new MemoryBudget(bytes));
  }

  /**
   * Limits the threads of the kernels. Those of the GEMMs are libtorch's ({@code
   * torch.set_num_threads}).
   *
   * @param threads threads at most; 0 for {@link dev.polka.kernel.Backend#threads()}
   * @return the objective with it
   * @throws IllegalArgumentException if {@code threads} is negative
   */
  public LinearPolicyLoss withThreads(int threads) {
    return new LinearPolicyLoss(objective.withThreads(threads), budget);
  }

  /**
   * Computes loss and metrics.
   *
   * @param hidden {@code [N, D]} or {@code [B, T, D]}, of the weight's type, contiguous
   * @param head the head
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @return a result without gradients; close it
   * @throws IllegalArgumentException if shapes, types, devices, options or parts of the batch do
   *     not fit each other, a part that the objective needs is missing, or the budget does not
   *     suffice for one row
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary, or offsets fall
   */
  public LinearLossResult forward(
      Tensor hidden, LinearHead head, TokenBatch batch, Normalizer normalizer) {
    return run(hidden, head, batch, normalizer, false);
  }

  /**
   * Computes loss, metrics and the gradients for hidden states and head.
   *
   * @param hidden {@code [N, D]} or {@code [B, T, D]}, of the weight's type, contiguous
   * @param head the head
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @return a result with gradients; close it
   * @throws IllegalArgumentException as {@link #forward}
   * @throws IndexOutOfBoundsException as {@link #forward}
   */
  public LinearLossResult forwardBackward(
      Tensor hidden, LinearHead head, TokenBatch batch, Normalizer normalizer) {
    return run(hidden, head, batch, normalizer, true);
  }

  private LinearLossResult run(
      Tensor hidden, LinearHead head, TokenBatch batch, Normalizer normalizer, boolean backward) {
    LogProb operation = objective.logProb().withEntropy();
    long rows = HeadLogProbs.rows(operation, hidden, head);
    long perChunk = HeadChunks.rows(head, budget);
    LogProbs logProbs = operation.allocate(Torch.placement(hidden), rows);
    LinearLossResult out =
        new LinearLossResult(
            logProbs,
            backward
                ? LossResult.allocate(logProbs.logProb())
                : LossResult.withoutGradient(logProbs.logProb()),
            backward ? LinearGradients.allocate(head, hidden) : null);
    try (PointerScope scope = new PointerScope()) {
      TensorView.of(logProbs.all()).zero_();
      KeptRows kept = HeadLogProbs.kept(operation, hidden, head, batch.targets());
      LinearGradients gradients = backward ? out.gradients() : null;
      HeadChunks chunks = new HeadChunks(hidden, head, kept, perChunk, gradients);
      try (var rowsOfChunk = new HeadLogProbs(operation, kept, chunks, perChunk, logProbs)) {
        if (backward && !objective.needsWholeSequences() && kept.count() > 0) {
          onePass(rowsOfChunk, kept.count(), perChunk, batch, normalizer, out);
        } else {
          twoPasses(rowsOfChunk, kept.count(), perChunk, batch, normalizer, out, backward);
        }
      }
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    } finally {
      Reference.reachabilityFence(this);
      Reference.reachabilityFence(batch);
    }
  }

  /**
   * The objective is asked anew for each chunk, on the log-probs of all rows: it costs next to
   * nothing beside the GEMMs, no batch has to be taken apart, and what it says after the last chunk
   * is the loss. Rows that are still to come count as 0 until then.
   */
  private void onePass(
      HeadLogProbs rows,
      long count,
      long perChunk,
      TokenBatch batch,
      Normalizer normalizer,
      LinearLossResult out) {
    HeadChunks.forEach(
        count,
        perChunk,
        (from, to) -> {
          rows.forward(from, to);
          score(batch, normalizer, out);
          rows.backward(from, to, out.upstream());
        });
  }

  private void twoPasses(
      HeadLogProbs rows,
      long count,
      long perChunk,
      TokenBatch batch,
      Normalizer normalizer,
      LinearLossResult out,
      boolean backward) {
    HeadChunks.forEach(count, perChunk, rows::forward);
    score(batch, normalizer, out);
    if (backward) {
      LogProbGradients upstream = out.upstream();
      HeadChunks.forEach(
          count,
          perChunk,
          (from, to) -> {
            rows.restore(from, to);
            rows.backward(from, to, upstream);
          });
    }
  }

  private void score(TokenBatch batch, Normalizer normalizer, LinearLossResult out) {
    objective.forwardBackward(out.logProb(), out.entropy(), batch, normalizer, out.tokens());
  }
}
