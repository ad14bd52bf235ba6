package dev.polka.train.report;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;

/**
 * Writes one JSON object on one line, keys in the order they are added.
 *
 * <p>Numbers have 9 significant digits, enough for any float, and are formatted here: the shortest
 * form that {@code Double.toString} gives has changed between versions of Java.
 */
final class JsonLine {
  private static final MathContext DIGITS = new MathContext(9, RoundingMode.HALF_EVEN);

  private final StringBuilder text = new StringBuilder("{");

  JsonLine add(String key, String value) {
    // Names of stages and metrics only: nothing in them needs escaping.
    key(key).append('"').append(value).append('"');
    return this;
  }

  JsonLine add(String key, long value) {
    key(key).append(value);
    return this;
  }

  JsonLine add(String key, boolean value) {
    key(key).append(value);
    return this;
  }

  JsonLine add(String key, double value) {
    key(key).append(number(value));
    return this;
  }

  private StringBuilder key(String key) {
    return text.append(text.length() > 1 ? "," : "").append('"').append(key).append("\":");
  }

  /** The line, without its end. */
  String text() {
    return text + "}";
  }

  /** A number; NaN and infinities, which JSON does not know, as a text. */
  static String number(double value) {
    if (!Double.isFinite(value)) {
      return '"' + Double.toString(value) + '"';
    }
    BigDecimal rounded = new BigDecimal(value, DIGITS).stripTrailingZeros();
    int exponent = rounded.precision() - rounded.scale() - 1;
    return exponent >= -5 && exponent < 16 ? rounded.toPlainString() : rounded.toString();
  }
}
