package dev.polka.kernel;

/** The instruction sets that the CPU kernels are compiled for. */
public enum SimdTarget {
  /** None: no kernel ran, or this processor has not even SSE4.2. */
  NONE,
  /** SSE4.2, 4 floats at a time. */
  SSE4,
  /** AVX2 with FMA, 8 floats at a time. */
  AVX2,
  /** AVX-512 F, BW, DQ and VL, 16 floats at a time. */
  AVX3;

  private static final SimdTarget[] BY_CODE = values();

  static SimdTarget ofCode(int code) {
    return BY_CODE[code];
  }

  int code() {
    return ordinal();
  }
}
