package dev.polka.reference;

import java.util.function.ToDoubleFunction;

/** Gradients by central differences of fourth order, error about {@code step^4}. */
public final class FiniteDifference {
  private FiniteDifference() {}

  public static double[] gradient(ToDoubleFunction<double[]> function, double[] at, double step) {
    double[] gradient = new double[at.length];
    for (int i = 0; i < at.length; i++) {
      gradient[i] =
          (8 * (shifted(function, at, i, step) - shifted(function, at, i, -step))
                  - (shifted(function, at, i, 2 * step) - shifted(function, at, i, -2 * step)))
              / (12 * step);
    }
    return gradient;
  }

  private static double shifted(
      ToDoubleFunction<double[]> function, double[] at, int index, double by) {
    double[] moved = at.clone();
    moved[index] += by;
    return function.applyAsDouble(moved);
  }
}
