package dev.polka.reference;

import java.util.function.DoubleSupplier;

/**
 * The accuracy bar of the kernels, in one place: against an f64 reference an error may be 4 eps of
 * f32 times the natural scale of the quantity, and no more. The scales: {@code max(1, |value|)} for
 * log-probs and lse, {@code max(1, ln V)} for entropies and for divergences, which may exceed it
 * and then scale with themselves, {@code |upstream| / T} for gradients, or libtorch's own error,
 * plus half an ulp of the stored type, the sum of {@code |terms|} for losses. NaN must meet NaN,
 * and an infinity the same infinity.
 */
public final class Accuracy {
  /** The distance from 1 to the next f32. */
  public static final double EPS = 0x1p-23;

  private static final double BAR = 4 * EPS;

  private Accuracy() {}

  /** Log-probs, lse, log-sums and temperature-scaled mean logits. */
  public static void assertLogProbs(String what, float[] actual, double[] expected) {
    assertLength(what, actual.length, expected.length);
    for (int i = 0; i < actual.length; i++) {
      assertWithin(
          what + "[" + i + "]", actual[i], expected[i], BAR * Math.max(1, Math.abs(expected[i])));
    }
  }

  /** Entropies, self-certainties and divergences over {@code vocabulary} columns. */
  public static void assertEntropies(
      String what, int vocabulary, float[] actual, double[] expected) {
    assertLength(what, actual.length, expected.length);
    for (int i = 0; i < actual.length; i++) {
      double scale = Math.max(Math.max(1, Math.log(vocabulary)), Math.abs(expected[i]));
      assertWithin(what + "[" + i + "]", actual[i], expected[i], BAR * scale);
    }
  }

  /** Divergences over {@code vocabulary} columns; libtorch's own largest error is a bar too. */
  public static void assertDivergences(
      String what, int vocabulary, float[] actual, double[] expected, double libtorchError) {
    assertLength(what, actual.length, expected.length);
    for (int i = 0; i < actual.length; i++) {
      double scale = Math.max(Math.max(1, Math.log(vocabulary)), Math.abs(expected[i]));
      double bound = Math.max(BAR * scale, libtorchError);
      assertWithin(what + "[" + i + "]", actual[i], expected[i], bound);
    }
  }

  /** Probabilities; {@code scale} is 1, or the largest scaled logit where those are rounded. */
  public static void assertProbabilities(
      String what, double scale, float[] actual, double[] expected) {
    assertLength(what, actual.length, expected.length);
    for (int i = 0; i < actual.length; i++) {
      assertWithin(what + "[" + i + "]", actual[i], expected[i], BAR * Math.max(1, scale));
    }
  }

  /** Sums of squared probabilities: a square has twice the relative error of its root. */
  public static void assertSquares(String what, double scale, float[] actual, double[] expected) {
    assertProbabilities(what, 2 * Math.max(1, scale), actual, expected);
  }

  /**
   * Logit gradients of a case, row by row, each row with the sum of its |upstream gradients| and
   * its temperature. Where 4 eps of scale do not suffice, libtorch's largest error on the same
   * logits in f32 is the bar.
   */
  public static void assertGradients(
      String what,
      Storage stored,
      double[] upstream,
      double[] temperature,
      float[][] actual,
      double[][] expected,
      DoubleSupplier libtorchError) {
    assertLength(what, actual.length, expected.length);
    double peer = Double.NaN;
    for (int r = 0; r < actual.length; r++) {
      assertLength(what + " row " + r, actual[r].length, expected[r].length);
      double bar = BAR * Math.abs(upstream[r]) / temperature[r];
      for (int j = 0; j < actual[r].length; j++) {
        // What the stored type cannot hold is infinite there.
        float held = stored.narrow((float) expected[r][j]);
        double want = Float.isInfinite(held) ? held : expected[r][j];
        double rounding = Float.isInfinite(held) ? 0 : stored.halfUlp(want);
        if (!within(actual[r][j], want, bar + rounding)) {
          peer = Double.isNaN(peer) ? libtorchError.getAsDouble() : peer;
          String place = what + " row " + r + " column " + j;
          assertWithin(place, actual[r][j], want, Math.max(bar, peer) + rounding);
        }
      }
    }
  }

  /** A sum over tokens; {@code sumOfMagnitudes} is the sum of the terms' absolute values. */
  public static void assertLoss(
      String what, double actual, double expected, double sumOfMagnitudes) {
    assertWithin(what, actual, expected, BAR * sumOfMagnitudes);
  }

  /** A per-token value or derivative computed from inputs no larger than {@code scale}. */
  public static void assertTerm(String what, double actual, double expected, double scale) {
    assertWithin(what, actual, expected, BAR * Math.max(1, Math.max(scale, Math.abs(expected))));
  }

  /** The comparison itself. */
  public static void assertWithin(String what, double actual, double expected, double bound) {
    if (!within(actual, expected, bound)) {
      throw new AssertionError(
          what
              + ": got "
              + actual
              + ", expected "
              + expected
              + ", error "
              + Math.abs(actual - expected)
              + ", bound "
              + bound);
    }
  }

  private static boolean within(double actual, double expected, double bound) {
    return Double.isFinite(expected)
        ? Math.abs(actual - expected) <= bound
        : Double.isNaN(expected) ? Double.isNaN(actual) : actual == expected;
  }

  private static void assertLength(String what, int actual, int expected) {
    if (actual != expected) {
      throw new AssertionError(what + ": got " + actual + " values, expected " + expected);
    }
  }
}
