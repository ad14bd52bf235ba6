package dev.polka.reference;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.Arrays;

/** Compares results field by field and element by element, by their bits: 0 is not -0. */
public final class SameBits {
  private SameBits() {}

  /** Fails on the first field of two objects of one class that differs. */
  public static void assertSame(Object actual, Object expected) {
    for (Field field : expected.getClass().getDeclaredFields()) {
      if (!Modifier.isStatic(field.getModifiers())) {
        field.setAccessible(true);
        assertSameField(field, actual, expected);
      }
    }
  }

  private static void assertSameField(Field field, Object actual, Object expected) {
    try {
      Object a = field.get(actual);
      Object e = field.get(expected);
      if (a instanceof float[] x && e instanceof float[] y) {
        assertSame(field.getName(), x, y);
      } else if (a instanceof double[] x && e instanceof double[] y) {
        assertSame(field.getName(), x, y);
      } else if (e != null && e.getClass().getPackageName().startsWith("dev.polka")) {
        assertSame(a, e);
      } else if (a == null ? e != null : !a.equals(e)) {
        throw new AssertionError(field.getName() + ": " + a + " is not " + e);
      }
    } catch (IllegalAccessException e) {
      throw new AssertionError(field + " cannot be read", e);
    }
  }

  public static void assertSame(String what, float[] actual, float[] expected) {
    int at = Arrays.mismatch(actual, expected);
    if (at >= 0) {
      throw new AssertionError(
          what + at(at, actual.length, expected.length, i -> actual[i] + " is not " + expected[i]));
    }
  }

  public static void assertSame(String what, double[] actual, double[] expected) {
    int at = Arrays.mismatch(actual, expected);
    if (at >= 0) {
      throw new AssertionError(
          what + at(at, actual.length, expected.length, i -> actual[i] + " is not " + expected[i]));
    }
  }

  private static String at(
      int index, int actual, int expected, java.util.function.IntFunction<String> values) {
    return index < Math.min(actual, expected)
        ? "[" + index + "]: " + values.apply(index)
        : ": " + actual + " values, not " + expected;
  }
}
