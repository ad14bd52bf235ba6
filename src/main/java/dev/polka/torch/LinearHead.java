package dev.polka.torch;

import dev.polka.memory.DType;
import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * The last layer of a language model: {@code logits = scale (hidden weight^T + bias)}, with hidden
 * states {@code [N, D]}, a weight {@code [V, D]} and logits {@code [N, V]} that are never made as a
 * whole. A softcap belongs to the operation, as it does for logits.
 *
 * <p>Gradients of weight and bias are f32 whatever the weight's type, and summed in f32 over all
 * chunks of a call. They go to memory that the call makes, or are added to tensors that the head
 * names: the {@code .grad} of an f32 weight, or an optimizer's main gradient.
 *
 * <p>Immutable, apart from the tensors, which stay the caller's: the head keeps the Java objects,
 * and they must not be closed while it is used.
 */
public final class LinearHead {
  private final Parts parts;

  private record Parts(
      Tensor weight,
      Tensor bias,
      float scale,
      boolean frozen,
      Tensor weightGradient,
      Tensor biasGradient) {}

  private LinearHead(Parts parts) {
    this.parts = parts;
  }

  /**
   * A head without bias, at scale 1.
   *
   * @param weight {@code [V, D]}, f32 or bf16, contiguous
   * @return the head
   * @throws IllegalArgumentException if the tensor has another type or shape, or gaps
   */
  public static LinearHead of(Tensor weight) {
    requireType("weight", weight);
    if (weight.dim() != 2 || weight.size(0) < 1 || weight.size(1) < 1) {
      throw refused("weight", weight, "[vocabulary, width] with at least one of each is needed");
    }
    requireContiguous("weight", weight);
    return new LinearHead(new Parts(weight, null, 1, false, null, null));
  }

  /**
   * Adds a bias.
   *
   * @param bias {@code [V]}, of the weight's type and on its device, contiguous
   * @return the head with it
   * @throws IllegalArgumentException if it does not fit the weight
   */
  public LinearHead withBias(Tensor bias) {
    requireType("bias", bias);
    requireLike("bias", bias, TorchTypes.dtype(parts.weight), vocabulary());
    return new LinearHead(
        new Parts(
            parts.weight,
            bias,
            parts.scale,
            parts.frozen,
            parts.weightGradient,
            parts.biasGradient));
  }

  /**
   * Multiplies the logits, within the GEMM (Cohere {@code logit_scale}, the inverse of Granite's
   * {@code logits_scaling}).
   *
   * @param scale the factor
   * @return the head with it
   * @throws IllegalArgumentException if {@code scale} is 0 or not finite
   */
  public LinearHead withScale(float scale) {
    if (!Float.isFinite(scale) || scale == 0) {
      throw new IllegalArgumentException("scale: " + scale + " is 0 or not finite");
    }
    return new LinearHead(
        new Parts(
            parts.weight,
            parts.bias,
            scale,
            parts.frozen,
            parts.weightGradient,
            parts.biasGradient));
  }

  /**
   * Leaves out the gradients of weight and bias, and their GEMM: for a head that is not trained.
   *
   * @return the head without them
   */
  public LinearHead frozen() {
    return new LinearHead(new Parts(parts.weight, parts.bias, parts.scale, true, null, null));
  }

  /**
   * Adds the weight's gradient to a tensor that exists, rather than make one of {@code 4 V D} bytes
   * each call.
   *
   * @param sum {@code [V, D]}, f32, contiguous, on the weight's device; calls add to it
   * @return the head with it
   * @throws IllegalArgumentException if it does not fit the weight
   */
  public LinearHead withWeightGradient(Tensor sum) {
    requireType("weightGradient", sum);
    requireLike("weightGradient", sum, DType.F32, vocabulary(), width());
    return new LinearHead(
        new Parts(parts.weight, parts.bias, parts.scale, false, sum, parts.biasGradient));
  }

  /**
   * Adds the bias's gradient to a tensor that exists.
   *
   * @param sum {@code [V]}, f32, contiguous, on the weight's device; calls add to it
   * @return the head with it
   * @throws IllegalArgumentException if it does not fit, or there is no bias
   */
  public LinearHead withBiasGradient(Tensor sum) {
    if (parts.bias == null) {
      throw new IllegalArgumentException("biasGradient: the head has no bias; withBias adds one");
    }
    requireType("biasGradient", sum);
    requireLike("biasGradient", sum, DType.F32, vocabulary());
    return new LinearHead(
        new Parts(parts.weight, parts.bias, parts.scale, false, parts.weightGradient, sum));
  }

  /** {@return V, the number of logits of a row} */
  public long vocabulary() {
    return parts.weight.size(0);
  }

  /** {@return D, the width of a hidden state} */
  public long width() {
    return parts.weight.size(1);
  }

  Tensor weight() {
    return parts.weight;
  }

  /** Null where there is none. */
  Tensor bias() {
    return parts.bias;
  }

  float scale() {
    return parts.scale;
  }

  boolean isFrozen() {
    return parts.frozen;
  }

  /** Null where a call makes its own. */
  Tensor weightGradient() {
    return parts.weightGradient;
  }

  /** Null where a call makes its own. */
  Tensor biasGradient() {
    return parts.biasGradient;
  }

  /** Checks hidden states against the weight. */
  void requireFitting(String name, Tensor hidden) {
    DType dtype = requireType(name, hidden);
    if (parts.weight.isNull()) {
      throw new IllegalArgumentException("weight: the tensor is closed");
    }
    DType weights = TorchTypes.dtype(parts.weight);
    if (dtype != weights) {
      throw refused(name, hidden, "its dtype is " + dtype + ", the weight's " + weights);
    }
    long dims = hidden.dim();
    if (dims != 2 && dims != 3) {
      throw refused(name, hidden, "it has " + dims + " dimensions, 2 or 3 are needed");
    }
    if (hidden.size(dims - 1) != width()) {
      throw refused(name, hidden, "the weight is " + Arrays.toString(parts.weight.shape()));
    }
    requireContiguous(name, hidden);
    requireSameDevice(name, hidden);
  }

  private void requireLike(String name, Tensor tensor, DType dtype, long... shape) {
    if (TorchTypes.dtype(tensor) != dtype) {
      throw refused(
          name, tensor, "its dtype is " + TorchTypes.dtype(tensor) + ", " + dtype + " is needed");
    }
    if (!Arrays.equals(tensor.shape(), shape)) {
      throw refused(name, tensor, Arrays.toString(shape) + " is needed");
    }
    requireContiguous(name, tensor);
    requireSameDevice(name, tensor);
  }

  private void requireSameDevice(String name, Tensor tensor) {
    var own = Torch.deviceOf(tensor);
    var weights = Torch.deviceOf(parts.weight);
    if (!own.equals(weights)) {
      throw refused(name, tensor, "it lies on " + own + ", the weight on " + weights);
    }
  }

  private static DType requireType(String name, Tensor tensor) {
    Objects.requireNonNull(tensor, name);
    if (tensor.isNull() || !tensor.defined()) {
      throw new IllegalArgumentException(name + ": the tensor is closed or undefined");
    }
    DType dtype = TorchTypes.dtype(tensor);
    boolean dense = tensor.layout().intern() == torch.Layout.Strided;
    if (!dense || dtype != DType.F32 && dtype != DType.BF16) {
      throw refused(
          name,
          tensor,
          dense ? "its dtype is " + tensor.scalar_type() + ", not Float or BFloat16" : "not dense");
    }
    return dtype;
  }

  private static void requireContiguous(String name, Tensor tensor) {
    if (!tensor.is_contiguous()) {
      throw refused(name, tensor, "it has gaps or another order; call contiguous()");
    }
  }

  private static IllegalArgumentException refused(String name, Tensor tensor, String why) {
    return new IllegalArgumentException(
        name + ": tensor " + Arrays.toString(tensor.shape()) + " is refused: " + why);
  }
}
