package dev.polka.policy;

/** Checks of option values, with messages that name the option, its value and its limit. */
final class Check {
  private Check() {}

  static double positive(String name, double value) {
    if (!(value > 0) || value == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite and > 0");
    }
    return value;
  }

  static double notNegative(String name, double value) {
    if (!(value >= 0) || value == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite and >= 0");
    }
    return value;
  }

  static double finite(String name, double value) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite");
    }
    return value;
  }

  /** A range that may be open, by infinities, but not empty. */
  static void range(String name, double low, double high) {
    if (!(low <= high)) {
      throw new IllegalArgumentException(name + ": [" + low + ", " + high + "] is empty");
    }
  }
}
