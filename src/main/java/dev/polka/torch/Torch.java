package dev.polka.torch;

import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Device;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import dev.polka.memory.Placement;
import java.util.Arrays;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Between libtorch and Polka: tensors as views, results as tensors, gradients into autograd.
 *
 * <p>A view shares the tensor's memory; nothing is copied or cast. It keeps the Java {@code Tensor}
 * reachable and refuses to be used once that was closed, whoever closed it. What gives a tensor
 * other memory ({@code set_data}, {@code set_}, {@code resize_}) is not noticed: make its views
 * anew afterwards. Results that an operation allocates for such a view are tensors from libtorch's
 * allocator. In-place writes count up the tensor's version, so that autograd refuses to use a saved
 * value that has changed.
 *
 * <p>Thread-safe as libtorch is: a tensor and its views belong to one thread at a time.
 */
public final class Torch {

  private static final Placement CPU = new Placement(Device.CPU, 0, new TorchAllocator(Device.CPU));

  private Torch() {}

  /**
   * Views logits. {@code [N, V]} and {@code [B, T, V]} tensors are taken, the latter as {@code B *
   * T} rows; so are their slices along any dimension but the last, such as {@code logits[:, :-1]}.
   *
   * @param tensor f32, bf16 or f16; its last dimension contiguous
   * @return the matrix {@code [rows, V]}, on the tensor's device and libtorch's current stream
   * @throws IllegalArgumentException if the tensor's type, number of dimensions or strides do not
   *     fit; the message names them
   */
  public static Matrix matrix(Tensor tensor) {
    DType dtype = requireDense(tensor, "matrix");
    if (!dtype.isLogits()) {
      throw refused(tensor, "matrix", "its dtype is none of Float, BFloat16, Half");
    }
    long dims = tensor.dim();
    if (dims != 2 && dims != 3) {
      throw refused(tensor, "matrix", "it has " + dims + " dimensions, 2 or 3 are needed");
    }
    long cols = tensor.size(dims - 1);
    if (cols < 1) {
      throw refused(tensor, "matrix", "its last dimension is empty");
    }
    if (cols > 1 && tensor.stride(dims - 1) != 1) {
      throw refused(tensor, "matrix", "its last dimension is not contiguous; call contiguous()");
    }
    long inner = tensor.size(dims - 2);
    long outer = dims == 3 ? tensor.size(0) : 1;
    long rowStride = tensor.stride(dims - 2);
    long outerStride = dims == 3 ? tensor.stride(0) : 0;
    MatrixLayout layout;
    if (outer == 0 || inner == 0) {
      layout = MatrixLayout.contiguous(0, cols);
    } else if (overlaps(inner, rowStride, cols) || overlaps(outer, outerStride, cols)) {
      throw refused(tensor, "matrix", "its rows overlap (an expanded tensor); call contiguous()");
    } else {
      layout = MatrixLayout.blocks(outer, inner, cols, Math.max(rowStride, cols), outerStride);
    }
    return Matrix.view(address(tensor), dtype, layout, placement(tensor), new TensorOwner(tensor));
  }

  private static boolean overlaps(long count, long stride, long cols) {
    return count > 1 && stride < cols;
  }

  /**
   * Views per-token or per-sequence numbers.
   *
   * @param tensor f32, contiguous, of any shape: taken as its elements in order
   * @return the view
   * @throws IllegalArgumentException if the tensor has another type or gaps
   */
  public static Floats floats(Tensor tensor) {
    requireValues(tensor, "floats", DType.F32);
    return Floats.view(address(tensor), tensor.numel(), placement(tensor), new TensorOwner(tensor));
  }

  /**
   * Views numbers in double precision, such as rewards.
   *
   * @param tensor f64, contiguous, of any shape
   * @return the view
   * @throws IllegalArgumentException if the tensor has another type or gaps
   */
  public static Doubles doubles(Tensor tensor) {
    requireValues(tensor, "doubles", DType.F64);
    return Doubles.view(
        address(tensor), tensor.numel(), placement(tensor), new TensorOwner(tensor));
  }

  /**
   * Views token ids or offsets.
   *
   * @param tensor int64, contiguous, of any shape
   * @return the view
   * @throws IllegalArgumentException if the tensor has another type or gaps
   */
  public static Longs longs(Tensor tensor) {
    requireValues(tensor, "longs", DType.I64);
    return Longs.view(address(tensor), tensor.numel(), placement(tensor), new TensorOwner(tensor));
  }

  /**
   * Views token ids.
   *
   * @param tensor int32, contiguous, of any shape
   * @return the view
   * @throws IllegalArgumentException if the tensor has another type or gaps
   */
  public static Ints ints(Tensor tensor) {
    requireValues(tensor, "ints", DType.I32);
    return Ints.view(address(tensor), tensor.numel(), placement(tensor), new TensorOwner(tensor));
  }

  /**
   * Views a mask.
   *
   * @param tensor bool or uint8, contiguous, of any shape
   * @return the view: 0 masks, anything else keeps
   * @throws IllegalArgumentException if the tensor has another type or gaps
   */
  public static Bytes bytes(Tensor tensor) {
    requireValues(tensor, "bytes", DType.U8);
    return Bytes.view(address(tensor), tensor.numel(), placement(tensor), new TensorOwner(tensor));
  }

  /**
   * The tensor behind a matrix that came from {@link #matrix} or was allocated for one, without a
   * copy.
   *
   * @param matrix the matrix, covering a whole tensor
   * @return the tensor itself; a result's tensor lives until the result is closed
   * @throws IllegalArgumentException if the memory is not a tensor's, or only part of one
   */
  public static Tensor tensor(Matrix matrix) {
    long address = matrix.address();
    if (!(matrix.owner() instanceof TensorOwner owner)) {
      throw new IllegalArgumentException(
          "tensor: "
              + matrix
              + " is not a libtorch tensor's memory; make the logits' view with"
              + " Torch.matrix, then results are tensors");
    }
    Tensor tensor = owner.tensor();
    if (address(tensor) != address
        || tensor.numel() != Math.multiplyExact(matrix.rows(), matrix.cols())) {
      throw new IllegalArgumentException("tensor: " + matrix + " is a part of its " + owner);
    }
    return tensor;
  }

  /**
   * Carries a gradient on through libtorch's autograd: adds into the {@code .grad} of the leaves
   * that {@code logits} were computed from, and frees the graph. Call it once per micro-batch, with
   * losses that share one normalizer, and divide by nothing afterwards.
   *
   * @param logits the tensor that the gradient belongs to
   * @param gradient d loss / d logits, as an operation returned it: of the logits' dtype, device
   *     and number of elements
   * @throws IllegalArgumentException if the gradient does not fit the logits, is not a tensor's
   *     memory, or {@code logits} has no graph; nothing is cast
   * @throws RuntimeException libtorch's own, for example when the graph was freed by an earlier
   *     call or a value it needs was overwritten in place
   */
  public static void backward(Tensor logits, Matrix gradient) {
    try (PointerScope scope = new PointerScope()) {
      Tensor upstream = upstream(logits, gradient, "logits");
      logits.backward(upstream, new BoolOptional(), false, new TensorArrayRefOptional());
    }
  }

  /**
   * Carries the gradients of several outputs on in one pass over their common graph: the logits and
   * a value head, or an auxiliary loss.
   *
   * @param roots outputs with their gradients
   * @throws IllegalArgumentException as {@link #backward(Tensor, Matrix)}, naming the root; or if
   *     there is none
   * @throws RuntimeException libtorch's own
   */
  public static void backward(Root... roots) {
    if (roots.length == 0) {
      throw new IllegalArgumentException("roots: none given");
    }
    try (PointerScope scope = new PointerScope()) {
      Tensor[] outputs = new Tensor[roots.length];
      Tensor[] gradients = new Tensor[roots.length];
      for (int i = 0; i < roots.length; i++) {
        outputs[i] = roots[i].output();
        gradients[i] = roots[i].upstream("roots[" + i + "]");
      }
      torch.backward(
          new TensorVector(outputs),
          new TensorVector(gradients),
          new BoolOptional(),
          false,
          new TensorVector());
    }
  }

  /** The gradient as a tensor of the output's shape; in the caller's scope. */
  static Tensor upstream(Tensor output, Matrix gradient, String name) {
    requireGraph(output, name);
    Tensor tensor = tensor(gradient);
    DType dtype = TorchTypes.dtype(output);
    if (gradient.dtype() != dtype) {
      throw new IllegalArgumentException(
          name + ": the gradient is " + gradient.dtype() + ", the tensor " + dtype);
    }
    if (!gradient.device().equals(deviceOf(output))) {
      throw new IllegalArgumentException(
          name
              + ": the gradient lies on "
              + gradient.device()
              + ", the tensor on "
              + deviceOf(output));
    }
    long cols = output.dim() == 0 ? 1 : output.size(output.dim() - 1);
    if (tensor.numel() != output.numel() || gradient.cols() != cols) {
      throw new IllegalArgumentException(
          name
              + ": the gradient is ["
              + gradient.rows()
              + ", "
              + gradient.cols()
              + "], the tensor "
              + Arrays.toString(output.shape()));
    }
    // In place, the gradient lies in the output itself: detached, it is a gradient and nothing
    // else.
    return address(tensor) == address(output)
        ? output.detach()
        : tensor.detach().reshape(output.shape());
  }

  static void requireGraph(Tensor output, String name) {
    if (!output.requires_grad()) {
      throw new IllegalArgumentException(
          name + ": the tensor does not require a gradient; was it made under NoGradGuard?");
    }
  }

  private static DType requireDense(Tensor tensor, String name) {
    if (tensor.isNull() || !tensor.defined()) {
      throw new IllegalArgumentException(name + ": the tensor is closed or undefined");
    }
    if (tensor.layout().intern() != torch.Layout.Strided) {
      throw refused(tensor, name, "it is not dense");
    }
    DType dtype = TorchTypes.dtype(tensor);
    if (dtype == null) {
      throw refused(tensor, name, "its dtype is " + tensor.scalar_type());
    }
    return dtype;
  }

  private static void requireValues(Tensor tensor, String name, DType needed) {
    DType dtype = requireDense(tensor, name);
    if (dtype != needed) {
      throw refused(
          tensor, name, "its dtype is " + tensor.scalar_type() + ", " + needed + " is needed");
    }
    if (!tensor.is_contiguous()) {
      throw refused(tensor, name, "it has gaps; call contiguous()");
    }
  }

  private static IllegalArgumentException refused(Tensor tensor, String name, String why) {
    return new IllegalArgumentException(
        name + ": tensor " + Arrays.toString(tensor.shape()) + " is refused: " + why);
  }

  private static long address(Tensor tensor) {
    return TorchTypes.address(tensor);
  }

  static Device deviceOf(Tensor tensor) {
    return tensor.is_cuda() ? Device.cuda(cudaIndex(tensor)) : Device.CPU;
  }

  private static int cudaIndex(Tensor tensor) {
    try (org.bytedeco.pytorch.Device device = tensor.device()) {
      return device.index();
    }
  }

  static Placement placement(Tensor tensor) {
    return tensor.is_cuda() ? CudaPlacement.of(cudaIndex(tensor)) : CPU;
  }
}
