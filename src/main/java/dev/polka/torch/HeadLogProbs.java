package dev.polka.torch;

import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbGradients;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.Targets;
import dev.polka.memory.Device;
import dev.polka.memory.Floats;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Log-probs of the rows that count, chunk by chunk, to and from results for all rows. Lives in one
 * scope; the views that it is given must outlive it.
 */
final class HeadLogProbs implements AutoCloseable {
  private final LogProb operation;
  private final KeptRows kept;
  private final HeadChunks chunks;
  private final LogProbs chunk;
  private final Tensor chunkOutputs; // [outputs, rows of a chunk]
  private final Tensor allOutputs; // [outputs, N]
  private final Tensor temperatures; // [N] or null

  HeadLogProbs(
      LogProb operation, KeptRows kept, HeadChunks chunks, long rowsPerChunk, LogProbs all) {
    this.operation = operation;
    this.kept = kept;
    this.chunks = chunks;
    Floats temperature = operation.rowTemperature();
    this.temperatures = temperature == null ? null : TensorView.of(temperature);
    long rows = Math.min(rowsPerChunk, kept.count());
    this.chunk = operation.allocate(all.all().placement(), rows);
    this.allOutputs = outputs(all, kept.total());
    this.chunkOutputs = outputs(chunk, rows);
  }

  private static Tensor outputs(LogProbs results, long rows) {
    Floats memory = results.all();
    return rows == 0 ? null : TensorView.of(memory).view(memory.size() / rows, rows);
  }

  /** Checks hidden states and options against the head; gives the number of rows. */
  static long rows(LogProb operation, Tensor hidden, LinearHead head) {
    head.requireFitting("hidden", hidden);
    long rows = hidden.numel() / head.width();
    requireSupported(operation, rows, Torch.deviceOf(hidden));
    return rows;
  }

  /** Refuses options that there is no chunk by chunk of. */
  static void requireSupported(LogProb operation, long rows, Device device) {
    if (operation.keepMask() != null) {
      throw new IllegalArgumentException("keepMask: is not there for a linear head, only logits");
    }
    KeptRows.require("rowTemperature", operation.rowTemperature(), rows, device);
  }

  /** The rows that count, their targets checked. */
  static KeptRows kept(LogProb operation, Tensor hidden, LinearHead head, Targets targets) {
    long valid = operation.validVocab();
    long vocabulary = valid == 0 ? head.vocabulary() : Math.min(valid, head.vocabulary());
    return KeptRows.of(targets, hidden.numel() / head.width(), Torch.deviceOf(hidden), vocabulary);
  }

  /** Computes the logits of some rows and what the operation makes of them. */
  void forward(long from, long to) {
    LogProbs part = chunk.rows(0, to - from);
    at(from, to).forward(chunks.logits(from, to), kept.targets(from, to), part);
    kept.put(allOutputs, 1, from, to, chunkOutputs.narrow(1, 0, to - from));
  }

  /** Fetches what an earlier pass saved, and computes the logits again. */
  void restore(long from, long to) {
    chunkOutputs.narrow(1, 0, to - from).copy_(kept.take(allOutputs, 1, from, to));
    chunks.logits(from, to);
  }

  /**
   * From the gradients of outputs, for all rows, to those of hidden states and weights, for some
   * rows whose logits were computed last. A row without any is not read, so that what is not finite
   * there does not spread.
   */
  void backward(long from, long to, LogProbGradients upstream) {
    Tensor any = null;
    LogProbGradients part = null;
    if (upstream.logProb() != null) {
      Tensor d = take(upstream.logProb(), from, to);
      part = LogProbGradients.of(Torch.floats(d));
      any = d.ne(new Scalar(0f));
    }
    if (upstream.entropy() != null) {
      Tensor d = take(upstream.entropy(), from, to);
      Floats view = Torch.floats(d);
      part = part == null ? LogProbGradients.ofEntropy(view) : part.withEntropy(view);
      any = or(any, d);
    }
    if (upstream.selfCertainty() != null) {
      Tensor d = take(upstream.selfCertainty(), from, to);
      Floats view = Torch.floats(d);
      part = part == null ? LogProbGradients.ofSelfCertainty(view) : part.withSelfCertainty(view);
      any = or(any, d);
    }
    Targets targets = kept.targets(from, to).withMask(Torch.bytes(any));
    LogProbs saved = chunk.rows(0, to - from);
    if (chunks.inPlace()) {
      at(from, to).backwardInPlace(chunks.gradient(from, to), targets, saved, part);
    } else {
      at(from, to)
          .backward(chunks.lastLogits(from, to), targets, saved, part, chunks.gradient(from, to));
    }
    chunks.backward(from, to);
  }

  private static Tensor or(Tensor any, Tensor d) {
    Tensor other = d.ne(new Scalar(0f));
    return any == null ? other : any.logical_or(other);
  }

  private Tensor take(Floats perRow, long from, long to) {
    return kept.take(TensorView.of(perRow), 0, from, to);
  }

  private LogProb at(long from, long to) {
    return temperatures == null
        ? operation
        : operation.withRowTemperature(Torch.floats(kept.take(temperatures, 0, from, to)));
  }

  @Override
  public void close() {
    chunk.close();
  }
}
