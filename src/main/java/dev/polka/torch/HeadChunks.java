package dev.polka.torch;

import dev.polka.memory.DType;
import dev.polka.memory.Device;
import dev.polka.memory.Matrix;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * The products of a head with its hidden states, some rows at a time, in memory that is made once:
 * {@link #logits} from hidden states, and {@link #backward} from the gradient of those logits.
 *
 * <p>f32 logits give way to their gradient in place. bf16 logits keep their type, as the plain
 * product has it, and their gradient is f32, unrounded, since that is what the weight's gradient is
 * summed from: libtorch multiplies only equal types, so on the way there the hidden states of the
 * chunk are copied to f32. For the hidden states' gradient it is rounded to bf16.
 *
 * <p>Tensors belong to the scope in which this is made, and to the thread.
 */
final class HeadChunks {
  private final LinearHead head;
  private final KeptRows kept;
  private final LinearGradients gradients; // null: none
  private final long rows;
  private final Device device;
  private final boolean f32;
  private final Tensor hidden; // [N, D]
  private final Tensor weight;
  private final Tensor logits; // [rows, V], in the weight's type
  private final Tensor gradient; // [rows, V], f32: the logits themselves if they are
  private final Tensor gathered; // [rows, D], where not all rows count
  private final Tensor hiddenGradient; // likewise
  private final Tensor hiddenF32; // [rows, D], where the hidden states are not
  private final Scalar scale;
  private final Scalar one = new Scalar(1f);
  private final Scalar zero = new Scalar(0f);
  private long allocated;

  HeadChunks(
      Tensor hiddenStates,
      LinearHead head,
      KeptRows kept,
      long rowsPerChunk,
      LinearGradients gradients) {
    this.head = head;
    this.kept = kept;
    this.gradients = gradients;
    this.rows = Math.min(rowsPerChunk, kept.count());
    this.device = Torch.deviceOf(hiddenStates);
    DType dtype = TorchTypes.dtype(hiddenStates);
    this.f32 = dtype == DType.F32;
    long width = head.width();
    this.hidden = hiddenStates.detach().view(-1, width);
    this.weight = head.weight().detach();
    this.scale = new Scalar(head.scale());
    boolean backward = gradients != null;
    boolean trained = backward && !head.isFrozen();
    this.logits = room(dtype, head.vocabulary());
    this.gradient = f32 || !backward ? logits : room(DType.F32, head.vocabulary());
    this.gathered = kept.all() ? null : room(dtype, width);
    this.hiddenGradient = kept.all() || !backward ? null : room(dtype, width);
    this.hiddenF32 = f32 || !trained ? null : room(DType.F32, width);
  }

  /** Rows of a chunk of one head. */
  static long rows(LinearHead head, MemoryBudget budget) {
    return budget.rows(bytesPerRow(head, true), fixedBytes(head));
  }

  /** What a row of a chunk takes at most, in bytes. */
  static long bytesPerRow(LinearHead head, boolean withGradient) {
    long bytes = TorchTypes.dtype(head.weight()).bytes();
    long copies = withGradient && bytes < Float.BYTES ? bytes + Float.BYTES : bytes;
    long states = withGradient ? copies + bytes : bytes;
    return Math.addExact(
        Math.multiplyExact(head.vocabulary(), copies), Math.multiplyExact(head.width(), states));
  }

  /** What a chunk takes besides its rows, in bytes: the sum of a bias's gradient. */
  static long fixedBytes(LinearHead head) {
    return head.bias() == null ? 0 : Math.multiplyExact(head.vocabulary(), (long) Float.BYTES);
  }

  private Tensor room(DType dtype, long cols) {
    allocated += rows * cols * dtype.bytes();
    return TensorView.empty(dtype, device, rows, cols);
  }

  /** The bytes that were allocated for chunks. */
  long allocated() {
    return allocated;
  }

  /** What is done with the rows of a chunk, numbered among those that count. */
  interface Step {
    void run(long from, long to);
  }

  /** Goes through the rows that count, chunk by chunk, each in a scope of its own. */
  static void forEach(long count, long rowsPerChunk, Step step) {
    for (long from = 0; from < count; from += rowsPerChunk) {
      try (PointerScope scope = new PointerScope()) {
        step.run(from, Math.min(from + rowsPerChunk, count));
      }
    }
  }

  /** Computes the logits of some rows; they hold until the next call. */
  Matrix logits(long from, long to) {
    Tensor out = logits.narrow(0, 0, to - from);
    Tensor states = states(from, to);
    if (head.bias() != null) {
      torch.addmm_out(out, head.bias().detach(), states, weight.t(), scale, scale);
    } else if (head.scale() == 1) {
      torch.mm_out(out, states, weight.t());
    } else {
      torch.addmm_out(out, out, states, weight.t(), zero, scale);
    }
    return Torch.matrix(out);
  }

  /** The logits of the last call. */
  Matrix lastLogits(long from, long to) {
    return Torch.matrix(logits.narrow(0, 0, to - from));
  }

  private Tensor states(long from, long to) {
    if (gathered == null) {
      return hidden.narrow(0, from, to - from);
    }
    Tensor out = gathered.narrow(0, 0, to - from);
    return torch.index_select_out(out, hidden, 0, kept.index(from, to));
  }

  /** Whether the gradient of logits is to be written in their place. */
  boolean inPlace() {
    return f32;
  }

  /** Where the gradient of the logits is to be written, if not in their place. */
  Matrix gradient(long from, long to) {
    return Torch.matrix(gradient.narrow(0, 0, to - from));
  }

  /** From the gradient of the logits of the last call to the gradients of what they came from. */
  void backward(long from, long to) {
    Tensor d = gradient.narrow(0, 0, to - from);
    if (!head.isFrozen()) {
      addWeightGradient(d, from, to);
    }
    Tensor narrow = d;
    if (!f32) {
      narrow = logits.narrow(0, 0, to - from);
      narrow.copy_(d);
    }
    Tensor all = Torch.tensor(gradients.hidden());
    if (hiddenGradient == null) {
      multiply(all.narrow(0, from, to - from), narrow, weight, zero);
    } else {
      Tensor out = hiddenGradient.narrow(0, 0, to - from);
      multiply(out, narrow, weight, zero);
      kept.put(all, 0, from, to, out);
    }
  }

  private void addWeightGradient(Tensor d, long from, long to) {
    Tensor states =
        gathered == null ? hidden.narrow(0, from, to - from) : gathered.narrow(0, 0, to - from);
    if (!f32) {
      states = hiddenF32.narrow(0, 0, to - from).copy_(states);
    }
    multiply(gradients.weightOrNull(), d.t(), states, one);
    Tensor bias = gradients.biasOrNull();
    if (bias != null) {
      Tensor sum = d.sum(new long[] {0}, false, new ScalarTypeOptional());
      bias.view(-1).add_(sum, scale);
    }
  }

  /** {@code out = keep out + scale a b}. */
  private void multiply(Tensor out, Tensor a, Tensor b, Scalar keep) {
    torch.addmm_out(out, out, a, b, keep, scale);
  }
}
