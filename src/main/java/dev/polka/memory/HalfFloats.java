package dev.polka.memory;

/** Conversions between 32-bit floats and the two 16-bit formats. Pure functions. */
public final class HalfFloats {
  private HalfFloats() {}

  /**
   * Reads a bfloat16.
   *
   * @param bits its bits
   * @return the value, exactly
   */
  public static float fromBf16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /**
   * Rounds to bfloat16, to nearest, ties to even. NaN stays NaN.
   *
   * @param value the value
   * @return the bits of the nearest bfloat16
   */
  public static short toBf16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) (bits >>> 16 | 0x40);
    }
    return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
  }

  /**
   * Reads an IEEE half.
   *
   * @param bits its bits
   * @return the value, exactly
   */
  public static float fromF16(short bits) {
    int sign = (bits & 0x8000) << 16;
    int exponent = bits >>> 10 & 0x1f;
    int fraction = bits & 0x3ff;
    if (exponent == 0x1f) {
      return Float.intBitsToFloat(sign | 0x7f800000 | fraction << 13);
    }
    if (exponent == 0) {
      return Math.copySign(fraction * 0x1p-24f, Float.intBitsToFloat(sign));
    }
    return Float.intBitsToFloat(sign | exponent + 112 << 23 | fraction << 13);
  }

  /**
   * Rounds to an IEEE half, to nearest, ties to even; beyond 65504 to infinity. NaN stays NaN.
   *
   * @param value the value
   * @return the bits of the nearest half
   */
  public static short toF16(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = bits >>> 16 & 0x8000;
    int magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      return (short) (sign | 0x7e00);
    }
    if (magnitude >= 0x477ff000) { // 65520, the midpoint above the largest half
      return (short) (sign | 0x7c00);
    }
    if (magnitude < 0x38800000) { // below the smallest normal half: count units of 2^-24
      return (short) (sign | (int) Math.rint(Math.abs(value) * 0x1p24));
    }
    int rounded = magnitude + 0xfff + (magnitude >>> 13 & 1);
    return (short) (sign | (rounded >>> 13) - (112 << 10));
  }
}
