package dev.polka.distill;

/** Checks of option values, with messages that name the option, its value and its limit. */
final class Check {
  private Check() {}

  static double finite(String name, double value) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite");
    }
    return value;
  }

  static double notNegative(String name, double value) {
    if (!(value >= 0) || value == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite and >= 0");
    }
    return value;
  }

  static double positive(String name, double value) {
    if (!(value > 0) || value == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite and > 0");
    }
    return value;
  }

  static double unit(String name, double value) {
    if (!(value >= 0 && value <= 1)) {
      throw new IllegalArgumentException(name + ": " + value + " is outside [0, 1]");
    }
    return value;
  }
}
