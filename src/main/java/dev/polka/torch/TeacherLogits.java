package dev.polka.torch;

import dev.polka.memory.Device;
import dev.polka.memory.Matrix;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;

/**
 * Where a teacher's logits come from, for {@link LinearDivergence}: a tensor that has them, or
 * hidden states and a head, chunk by chunk.
 *
 * <p>Immutable, apart from the tensors, which must not be closed while it is used.
 */
public abstract sealed class TeacherLogits {
  private TeacherLogits() {}

  /**
   * Logits that are there.
   *
   * @param logits {@code [N, V]} or {@code [B, T, V]}, f32, bf16 or f16, contiguous
   * @return the teacher
   * @throws IllegalArgumentException if the tensor does not fit
   */
  public static TeacherLogits of(Tensor logits) {
    Torch.matrix(logits);
    if (!logits.is_contiguous()) {
      throw new IllegalArgumentException("teacher: the logits have gaps; call contiguous()");
    }
    return new Whole(logits);
  }

  /**
   * Logits to be made from hidden states.
   *
   * @param hidden {@code [N, D]} or {@code [B, T, D]}, of the weight's type, contiguous; D is the
   *     teacher's own
   * @param head the teacher's head; gets no gradient
   * @return the teacher
   * @throws IllegalArgumentException if they do not fit each other
   */
  public static TeacherLogits of(Tensor hidden, LinearHead head) {
    Objects.requireNonNull(head, "head").requireFitting("teacher hidden", hidden);
    return new ByHead(hidden, head);
  }

  abstract Tensor tensor();

  abstract long rows();

  /** Bytes of a chunk that a row takes. */
  abstract long bytesPerRow();

  /** The teacher's side of a call, in its scope. */
  abstract Chunks chunks(KeptRows kept, long rowsPerChunk);

  /** Checks it against the student. */
  final void requireFitting(long rows, Device device) {
    if (rows() != rows) {
      throw new IllegalArgumentException(
          "teacher: has " + rows() + " rows, the student's hidden states have " + rows);
    }
    Device own = Torch.deviceOf(tensor());
    if (!own.equals(device)) {
      throw new IllegalArgumentException(
          "teacher: lies on " + own + ", the student's hidden states on " + device);
    }
  }

  /** Logits of rows that count. */
  interface Chunks {
    Matrix logits(long from, long to);
  }

  private static final class Whole extends TeacherLogits {
    private final Tensor logits;

    Whole(Tensor logits) {
      this.logits = logits;
    }

    @Override
    Tensor tensor() {
      return logits;
    }

    @Override
    long rows() {
      return Torch.matrix(logits).rows();
    }

    @Override
    long bytesPerRow() {
      Matrix all = Torch.matrix(logits);
      return Math.multiplyExact(all.cols(), (long) all.dtype().bytes());
    }

    @Override
    Chunks chunks(KeptRows kept, long rowsPerChunk) {
      Tensor all = logits.detach().view(-1, Torch.matrix(logits).cols());
      return (from, to) -> Torch.matrix(kept.take(all, 0, from, to));
    }
  }

  private static final class ByHead extends TeacherLogits {
    private final Tensor hidden;
    private final LinearHead head;

    ByHead(Tensor hidden, LinearHead head) {
      this.hidden = hidden;
      this.head = head;
    }

    @Override
    Tensor tensor() {
      return hidden;
    }

    @Override
    long rows() {
      return hidden.numel() / head.width();
    }

    @Override
    long bytesPerRow() {
      return HeadChunks.bytesPerRow(head, false);
    }

    @Override
    Chunks chunks(KeptRows kept, long rowsPerChunk) {
      return new HeadChunks(hidden, head, kept, rowsPerChunk, null)::logits;
    }
  }
}
