package dev.polka.torch;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Matrix;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** Comparing tensors with what f64 gives, libtorch's own error in the same type being the bar. */
final class TensorError {
  private static final double EPS = 0x1p-23;

  private TensorError() {}

  /** Largest |actual - expected|. */
  static double largest(Tensor actual, Tensor expected) {
    Tensor f64 = expected.detach().to(torch.ScalarType.Double).reshape(-1);
    return actual
        .detach()
        .to(torch.ScalarType.Double)
        .reshape(-1)
        .sub(f64)
        .abs()
        .max()
        .item_double();
  }

  /** Largest |value|. */
  static double magnitude(Tensor tensor) {
    return tensor.detach().to(torch.ScalarType.Double).abs().max().item_double();
  }

  /** No further off than libtorch's, or than 4 eps of the scale. */
  static void assertAsGood(
      String what, Tensor actual, Tensor libtorch, Tensor expected, double scale) {
    assertWithin(what, actual, libtorch, expected, 4 * EPS * Math.max(1, scale));
  }

  private static void assertWithin(
      String what, Tensor actual, Tensor libtorch, Tensor expected, double bar) {
    assertThat(magnitude(expected)).as(what + ": largest value expected").isPositive();
    assertThat(largest(actual, expected))
        .as(what)
        .isLessThanOrEqualTo(Math.max(largest(libtorch, expected), bar));
  }

  /**
   * Gradients of hidden states and head. In f32 no element is further off than libtorch's worst, or
   * than 4 eps of what it is a sum of. In bf16 the rounding of a few large logits outweighs
   * everything else, so mean squares are compared, with half as much again left to the chance of
   * other roundings.
   */
  static void assertAsGood(
      String what, LinearGradients actual, HeadCase.Plain libtorch, HeadCase.Plain exact) {
    assertGradient(what + ", hidden", actual.hidden(), libtorch.h, exact.h, exact.hiddenScale());
    assertGradient(what + ", weight", actual.weight(), libtorch.w, exact.w, exact.weightScale());
    if (exact.b != null) {
      assertGradient(what + ", bias", actual.bias(), libtorch.b, exact.b, exact.biasScale());
    }
  }

  private static void assertGradient(
      String what, Matrix actual, Tensor libtorch, Tensor exact, double scale) {
    Tensor ours = Torch.tensor(actual);
    if (libtorch.scalar_type().intern() == torch.ScalarType.Float) {
      assertWithin(what, ours, libtorch.grad(), exact.grad(), 4 * EPS * scale);
    } else {
      assertThat(meanSquare(ours, exact.grad()))
          .as(what)
          .isLessThanOrEqualTo(1.5 * meanSquare(libtorch.grad(), exact.grad()));
    }
  }

  static double meanSquare(Tensor actual, Tensor expected) {
    Tensor error =
        actual.detach().to(torch.ScalarType.Double).reshape(-1).sub(expected.reshape(-1));
    return error.mul(error).mean().item_double();
  }

  static void assertClose(String what, Tensor actual, Tensor expected, double tolerance) {
    double magnitude = magnitude(expected);
    assertThat(magnitude).as(what + ": largest value expected").isPositive();
    assertThat(largest(actual, expected)).as(what).isLessThanOrEqualTo(tolerance * magnitude);
  }
}
