package dev.polka.memory;

/** The element types that Polka reads and writes. */
public enum DType {
  /** IEEE 754 single precision. */
  F32(0, 4),
  /** The upper 16 bits of a single: 8 exponent bits, 7 fraction bits. */
  BF16(1, 2),
  /** IEEE 754 half precision: 5 exponent bits, 10 fraction bits. */
  F16(2, 2),
  /** IEEE 754 double precision. */
  F64(3, 8),
  /** Signed 32-bit integer. */
  I32(4, 4),
  /** Signed 64-bit integer. */
  I64(5, 8),
  /** Unsigned byte: masks and packed bits. */
  U8(-1, 1);

  private final int code;
  private final int bytes;

  DType(int code, int bytes) {
    this.code = code;
    this.bytes = bytes;
  }

  /**
   * The number that {@code polka.h} gives this type.
   *
   * @return the code, or -1 for {@link #U8}, which is always meant by position and never named
   *     there
   */
  public int code() {
    return code;
  }

  /**
   * The size of one element.
   *
   * @return bytes per element
   */
  public int bytes() {
    return bytes;
  }

  /**
   * Whether logits and their gradients can have this type.
   *
   * @return true for {@link #F32}, {@link #BF16} and {@link #F16}
   */
  public boolean isLogits() {
    return this == F32 || this == BF16 || this == F16;
  }
}
