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

  /** A temperature: its reciprocal has to be finite. */
  static float temperature(String name, float value) {
    if (!(value >= Float.MIN_NORMAL) || value == Float.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(
          name + ": " + value + " is not finite and >= " + Float.MIN_NORMAL);
    }
    return value;
  }

  /** The number of elements of {@code count} times {@code each}, which may be too large for any. */
  static long product(String name, long count, long each) {
    if (count < 0 || each < 0 || each > 0 && count > Long.MAX_VALUE / each) {
      throw new IllegalArgumentException(
          name + ": " + count + " times " + each + " is outside [0, 2^63)");
    }
    return count * each;
  }

  /** Offsets that do not fall, within [0, count]. */
  static long[] offsets(String name, long[] offsets, long count) {
    long least = 0;
    for (int i = 0; i < offsets.length; i++) {
      if (offsets[i] < least || offsets[i] > count) {
        throw new IllegalArgumentException(
            String.format(
                "%s: entry %d is %d, outside [%d, %d]", name, i, offsets[i], least, count));
      }
      least = offsets[i];
    }
    return offsets;
  }

  /** A number of elements of a Java array. */
  static int arraySize(String name, long size) {
    if (size < 0 || size > Integer.MAX_VALUE - 8) {
      throw new IllegalArgumentException(
          name + ": " + size + " is outside [0, " + (Integer.MAX_VALUE - 8) + "]");
    }
    return (int) size;
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

  /** In place is asked for by name. */
  static void notInPlace(String name, Matrix out, Matrix in) {
    if (out.address() == in.address() && out.rows() > 0) {
      throw new IllegalArgumentException(
          name + ": is the memory of the logits; forwardBackwardInPlace asks for that");
    }
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
