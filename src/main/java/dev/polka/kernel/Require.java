package dev.polka.kernel;

import dev.polka.memory.Matrix;

/** Checks of option values, with messages that name the option, its value and its limit. */
final class Require {
  private Require() {}

  static float positive(String name, float value) {
    if (!(value > 0) || value == Float.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite and > 0");
    }
    return value;
  }

  static float finite(String name, float value) {
    if (!Float.isFinite(value)) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite");
    }
    return value;
  }

  static double finite(String name, double value) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite");
    }
    return value;
  }

  /** A bound that infinity switches off. */
  static float bound(String name, float value) {
    if (!(value > 0)) {
      throw new IllegalArgumentException(name + ": " + value + " is not > 0 (infinity: no bound)");
    }
    return value;
  }

  /** How far a ratio or probability may move; infinity for as far as it likes. */
  static float margin(String name, float value) {
    if (!(value >= 0)) {
      throw new IllegalArgumentException(name + ": " + value + " is not >= 0");
    }
    return value;
  }

  /** A bound that 0 switches off. */
  static float offOrPositive(String name, float value) {
    if (!(value >= 0) || value == Float.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(
          name + ": " + value + " is neither 0 (off) nor finite and > 0");
    }
    return value;
  }

  static double notNegative(String name, double value) {
    if (!(value >= 0) || value == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite and >= 0");
    }
    return value;
  }

  static double unit(String name, double value) {
    if (!(value >= 0 && value <= 1)) {
      throw new IllegalArgumentException(name + ": " + value + " is outside [0, 1]");
    }
    return value;
  }

  static void sameShape(String name, Matrix matrix, Matrix logits) {
    if (matrix.rows() != logits.rows() || matrix.cols() != logits.cols()) {
      throw new IllegalArgumentException(
          name
              + ": is ["
              + matrix.rows()
              + ", "
              + matrix.cols()
              + "], the logits are ["
              + logits.rows()
              + ", "
              + logits.cols()
              + "]");
    }
  }

  static int threads(int threads) {
    if (threads < 0) {
      throw new IllegalArgumentException("threads: " + threads + " is negative");
    }
    return threads;
  }

  /** A gradient scale; 0 is what "not set" looks like in the struct. */
  static float gradientScale(float scale) {
    if (finite("gradientScale", scale) == 0) {
      throw new IllegalArgumentException("gradientScale: is 0, which would discard the gradient");
    }
    return scale;
  }
}
