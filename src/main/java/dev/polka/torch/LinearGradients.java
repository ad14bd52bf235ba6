package dev.polka.torch;

import dev.polka.memory.DType;
import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import dev.polka.memory.Placement;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * The gradients of a loss for the hidden states and the {@link LinearHead}, as libtorch tensors:
 *
 * <pre>{@code
 * Torch.backward(
 *     Root.of(hidden, gradients.hidden()),     // on into the model
 *     Root.of(weight, gradients.weight()));    // f32 weight: adds to weight.grad()
 * }</pre>
 *
 * <p>The weight's gradient is f32. For a bf16 weight, keep an f32 tensor for it by {@link
 * LinearHead#withWeightGradient}, or cast {@code Torch.tensor(gradients.weight())} and give that to
 * {@link Root#of(Tensor, Tensor)}.
 *
 * <p>Belongs to one thread at a time. Closing frees what the call made, not the tensors that the
 * head named.
 */
public final class LinearGradients implements AutoCloseable {
  private final Matrix hidden;
  private final Matrix weight;
  private final Matrix bias;
  private final boolean ownsWeight;
  private final boolean ownsBias;

  private LinearGradients(LinearHead head, Tensor hiddenStates) {
    Placement placement = Torch.placement(hiddenStates);
    long width = head.width();
    this.hidden =
        Matrix.allocate(
            placement, TorchTypes.dtype(hiddenStates), hiddenStates.numel() / width, width);
    boolean trained = !head.isFrozen();
    boolean biased = trained && head.bias() != null;
    this.ownsWeight = trained && head.weightGradient() == null;
    this.ownsBias = biased && head.biasGradient() == null;
    long vocabulary = head.vocabulary();
    this.weight =
        ownsWeight
            ? Matrix.allocate(placement, DType.F32, vocabulary, width)
            : trained ? Torch.matrix(head.weightGradient()) : null;
    this.bias =
        ownsBias
            ? Matrix.allocate(placement, DType.F32, 1, vocabulary)
            : biased ? row(head.biasGradient()) : null;
    zero();
  }

  static LinearGradients allocate(LinearHead head, Tensor hidden) {
    return new LinearGradients(head, hidden);
  }

  private static Matrix row(Tensor vector) {
    return Matrix.view(
        TorchTypes.address(vector),
        DType.F32,
        MatrixLayout.contiguous(1, vector.numel()),
        Torch.placement(vector),
        new TensorOwner(vector));
  }

  /** What the call made starts at 0: chunks add to it, and skipped rows keep it. */
  private void zero() {
    try (PointerScope scope = new PointerScope()) {
      Torch.tensor(hidden).zero_();
      if (ownsWeight) {
        Torch.tensor(weight).zero_();
      }
      if (ownsBias) {
        Torch.tensor(bias).zero_();
      }
    }
  }

  /**
   * The gradient for the hidden states; 0 in skipped rows.
   *
   * @return {@code [N, D]} in the hidden states' type
   */
  public Matrix hidden() {
    return hidden;
  }

  /**
   * The gradient for the weight, or the sum that the head named with it added.
   *
   * @return {@code [V, D]}, f32
   * @throws IllegalStateException if the head is frozen
   */
  public Matrix weight() {
    if (weight == null) {
      throw new IllegalStateException("LinearGradients: the head is frozen, its weight has none");
    }
    return weight;
  }

  /**
   * The gradient for the bias, or the sum that the head named with it added.
   *
   * @return {@code [1, V]}, f32
   * @throws IllegalStateException if the head is frozen or has no bias
   */
  public Matrix bias() {
    if (bias == null) {
      throw new IllegalStateException("LinearGradients: the head is frozen or has no bias");
    }
    return bias;
  }

  Tensor weightOrNull() {
    return weight == null ? null : Torch.tensor(weight);
  }

  Tensor biasOrNull() {
    return bias == null ? null : Torch.tensor(bias);
  }

  /** Frees what the call made. */
  @Override
  public void close() {
    hidden.close();
    if (ownsWeight) {
      weight.close();
    }
    if (ownsBias) {
      bias.close();
    }
  }
}
