package dev.polka.reference;

/**
 * The accuracy bar of the kernels, in one place: against an f64 reference an error may be 4 eps of
 * f32 times the natural scale of the quantity, and no more. The scales: {@code max(1, |value|)} for
 * log-probs and lse, {@code max(1, ln V)} for entropies and divergences, {@code |upstream| / T} for
 * gradients plus half an ulp of the stored type, the sum of {@code |terms|} for losses. NaN must
 * meet NaN, and an infinity the same infinity.
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
    double scale = Math.max(1, Math.log(vocabulary));
    for (int i = 0; i < actual.length; i++) {
      assertWithin(what + "[" + i + "]", actual[i], expected[i], BAR * scale);
    }
  }

  /** Probabilities and sums of squared probabilities: scale 1. */
  public static void assertProbabilities(String what, float[] actual, double[] expected) {
    assertLength(what, actual.length, expected.length);
    for (int i = 0; i < actual.length; i++) {
      assertWithin(what + "[" + i + "]", actual[i], expected[i], BAR);
    }
  }

  /** One row of logit gradients; {@code upstream} is the sum of |upstream gradients| of the row. */
  public static void assertGradients(
      String what,
      Storage stored,
      double upstream,
      double temperature,
      float[] actual,
      double[] expected) {
    assertLength(what, actual.length, expected.length);
    double bar = BAR * Math.abs(upstream) / temperature;
    for (int j = 0; j < actual.length; j++) {
      assertWithin(
          what + " column " + j, actual[j], expected[j], bar + stored.halfUlp(expected[j]));
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
    boolean good =
        Double.isFinite(expected)
            ? Math.abs(actual - expected) <= bound
            : Double.isNaN(expected) ? Double.isNaN(actual) : actual == expected;
    if (!good) {
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

  private static void assertLength(String what, int actual, int expected) {
    if (actual != expected) {
      throw new AssertionError(what + ": got " + actual + " values, expected " + expected);
    }
  }
}
