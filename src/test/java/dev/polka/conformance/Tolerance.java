package dev.polka.conformance;

import dev.polka.reference.Accuracy;
import java.util.Arrays;

/**
 * The tolerance of the conformance vectors: {@code |error| <= bar max(1, |expected|, largest
 * |input| entering the term)}, where the term is what is compared: a token's gradient depends on
 * the token's inputs (on its sequence's, where the ratio or a weight is the sequence's), a loss on
 * those of all tokens. There is one bar for f32 results and one for advantages from f64 rewards,
 * and no case has its own. A gradient expected to be exactly 0 is exactly 0.
 *
 * <p>One operation stands out: verl's vectorised GRPO computes in f32 even from f64 rewards, so
 * that its own numbers are only good to about 1e-6. No exact computation meets them to {@link
 * #F64_ADVANTAGE}, and its advantages are held to {@link #F32} (see {@link
 * AdvantageVector#computedInF64}).
 */
final class Tolerance {
  /** For everything that passes through f32. */
  static final double F32 = 2e-6;

  /** For advantages from f64 rewards that stay f64 on the way. */
  static final double F64_ADVANTAGE = 1e-9;

  private Tolerance() {}

  static void assertClose(
      String what, double bar, double actual, double expected, double... inputs) {
    double scale = Math.max(1, Math.max(Math.abs(expected), largest(inputs)));
    Accuracy.assertWithin(what, actual, expected, bar * scale);
  }

  static void assertGradient(
      String what, double bar, double actual, double expected, double... inputs) {
    if (expected == 0 && actual != 0) {
      throw new AssertionError(what + ": got " + actual + ", expected exactly 0");
    }
    assertClose(what, bar, actual, expected, inputs);
  }

  static double largest(double... values) {
    return Arrays.stream(values).map(Math::abs).max().orElse(0);
  }
}
