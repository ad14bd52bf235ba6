package dev.polka.reference;

/**
 * The three types logits are stored in. Narrowing rounds to nearest, ties to even; overflow gives
 * infinity; a NaN stays a NaN.
 */
public enum Storage {
  F32(24, -126) {
    @Override
    public float narrow(float value) {
      return value;
    }
  },
  BF16(8, -126) {
    @Override
    public float narrow(float value) {
      return fromBf16(toBf16(value));
    }
  },
  F16(11, -14) {
    @Override
    public float narrow(float value) {
      return fromF16(toF16(value));
    }
  };

  private final int precision;
  private final int minExponent;

  Storage(int precision, int minExponent) {
    this.precision = precision;
    this.minExponent = minExponent;
  }

  /** The value as this type holds it. */
  public abstract float narrow(float value);

  public float[] narrow(float[] values) {
    float[] stored = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      stored[i] = narrow(values[i]);
    }
    return stored;
  }

  public static double[] widen(float... values) {
    double[] wide = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      wide[i] = values[i];
    }
    return wide;
  }

  public static float[] toF32(double... values) {
    float[] narrow = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      narrow[i] = (float) values[i];
    }
    return narrow;
  }

  /** Half the distance between this type's neighbours around {@code value}. */
  public double halfUlp(double value) {
    int exponent = value == 0 ? minExponent : Math.max(Math.getExponent(value), minExponent);
    return Math.scalb(1.0, exponent - precision);
  }

  public static short toBf16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >>> 16) | 0x40);
    }
    int lowestKept = (bits >>> 16) & 1;
    return (short) ((bits + 0x7FFF + lowestKept) >>> 16);
  }

  public static float fromBf16(short stored) {
    return Float.intBitsToFloat(stored << 16);
  }

  public static short toF16(float value) {
    int sign = Float.floatToRawIntBits(value) >>> 16 & 0x8000;
    float magnitude = Math.abs(value);
    if (Float.isNaN(value)) {
      return (short) (sign | 0x7E00);
    }
    if (magnitude >= 65520f) {
      return (short) (sign | 0x7C00);
    }
    int exponent = Math.max(Math.getExponent(magnitude), -14);
    // Exact: a power of two away from an integer below 2^11, and rint is nearest-even.
    int units = (int) Math.rint(Math.scalb((double) magnitude, 10 - exponent));
    // A carry out of the mantissa raises the exponent by itself; below 2^10 the number is
    // subnormal.
    int bits = units < 1024 ? units : ((exponent + 14) << 10) + units;
    return (short) (sign | bits);
  }

  public static float fromF16(short stored) {
    int exponent = stored >>> 10 & 0x1F;
    int mantissa = stored & 0x3FF;
    double magnitude =
        exponent == 0x1F
            ? (mantissa == 0 ? Double.POSITIVE_INFINITY : Double.NaN)
            : exponent == 0
                ? Math.scalb((double) mantissa, -24)
                : Math.scalb(1024.0 + mantissa, exponent - 25);
    return (float) (stored < 0 ? -magnitude : magnitude);
  }
}
