package dev.polka.torch;

import dev.polka.memory.Matrix;
import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * One output of a graph with the gradient of the loss with respect to it, for {@link
 * Torch#backward(Root...)}.
 */
public final class Root {
  private final Tensor output;
  private final Matrix matrix;
  private final Tensor tensor;

  private Root(Tensor output, Matrix matrix, Tensor tensor) {
    this.output = Objects.requireNonNull(output, "output");
    this.matrix = matrix;
    this.tensor = tensor;
  }

  /**
   * Logits with the gradient that an operation returned.
   *
   * @param logits the tensor
   * @param gradient d loss / d logits
   * @return the root
   */
  public static Root of(Tensor logits, Matrix gradient) {
    return new Root(logits, Objects.requireNonNull(gradient, "gradient"), null);
  }

  /**
   * Any output with its gradient as a tensor.
   *
   * @param output the tensor
   * @param gradient d loss / d output, of the same shape and dtype
   * @return the root
   */
  public static Root of(Tensor output, Tensor gradient) {
    return new Root(output, null, Objects.requireNonNull(gradient, "gradient"));
  }

  /**
   * A scalar loss, with gradient 1.
   *
   * @param loss a tensor with one element
   * @return the root
   * @throws IllegalArgumentException if the tensor has another number of elements
   */
  public static Root loss(Tensor loss) {
    if (loss.numel() != 1) {
      throw new IllegalArgumentException(
          "loss: tensor " + Arrays.toString(loss.shape()) + " is not a scalar");
    }
    return new Root(loss, null, null);
  }

  Tensor output() {
    return output;
  }

  Tensor upstream(String name) {
    if (matrix != null) {
      return Torch.upstream(output, matrix, name);
    }
    Torch.requireGraph(output, name);
    if (tensor == null) {
      return torch.ones_like(output);
    }
    if (tensor.scalar_type().intern() != output.scalar_type().intern()
        || !tensor.is_same_size(output)) {
      throw new IllegalArgumentException(
          String.format(
              "%s: the gradient is %s %s, the tensor %s %s",
              name,
              tensor.scalar_type(),
              Arrays.toString(tensor.shape()),
              output.scalar_type(),
              Arrays.toString(output.shape())));
    }
    return tensor;
  }
}
