package dev.polka.memory;

import java.util.Objects;

/**
 * A contiguous one-dimensional view of memory: one value per token, sequence, group or byte.
 *
 * <p>The view keeps a strong reference to what it looks at. Closing it frees the memory only if
 * Polka allocated it ({@code allocate}, {@code copyOf}, results of operations); a view of a buffer,
 * an address or a tensor has nothing to free. A closed view refuses to be used.
 *
 * <p>Element access from Java is meant for small things and tests; it works for host memory only. A
 * view belongs to one thread at a time.
 */
public abstract sealed class Values implements AutoCloseable
    permits Floats, Doubles, Longs, Ints, Bytes {
  private final DType dtype;
  private final long size;
  private final Region region;

  Values(DType dtype, long size, Region region) {
    this.dtype = dtype;
    this.size = size;
    this.region = region;
  }

  /**
   * Where the first element lies.
   *
   * @return the address; may be 0 where {@link #size()} is 0
   * @throws IllegalStateException if the view is closed
   */
  public final long address() {
    return region.address();
  }

  /** {@return the number of elements} */
  public final long size() {
    return size;
  }

  /** {@return the length in bytes} */
  public final long bytes() {
    return size * dtype.bytes();
  }

  /** {@return the element type} */
  public final DType dtype() {
    return dtype;
  }

  /** {@return where the memory lies: device, stream and allocator} */
  public final Placement placement() {
    return region.placement();
  }

  /** {@return the device of the memory} */
  public final Device device() {
    return region.placement().device();
  }

  /** {@return true if the view may only be read, being of a read-only buffer} */
  public final boolean readOnly() {
    return region.readOnly();
  }

  /** {@return what keeps the address valid: the buffer, the tensor, or null for a raw address} */
  public final Object owner() {
    return region.owner();
  }

  /**
   * Tells the {@link Owner} of the memory, if it has one, that the memory was written by something
   * other than its library. Operations do this for what they write.
   */
  public final void written() {
    region.written();
  }

  /** Frees the memory if Polka allocated it; the view refuses to be used from then on. */
  @Override
  public final void close() {
    region.close();
  }

  /** The type, size, and device. */
  @Override
  public final String toString() {
    return String.format("%s[%d] on %s", dtype, size, device());
  }

  final Region region() {
    return region;
  }

  /** The byte length of {@code size} elements; refuses what is negative or does not fit. */
  static long bytes(String name, DType dtype, long size) {
    if (size < 0) {
      throw new IllegalArgumentException(name + ": size " + size + " is negative");
    }
    if (size > Long.MAX_VALUE / dtype.bytes()) {
      throw new IllegalArgumentException(
          name + ": size " + size + " is more than 2^63 bytes of " + dtype);
    }
    return size * dtype.bytes();
  }

  /** The number of elements in {@code byteLength}. */
  static long elements(String name, DType dtype, long byteLength) {
    if (byteLength < 0 || byteLength % dtype.bytes() != 0) {
      throw new IllegalArgumentException(
          name
              + ": "
              + byteLength
              + " bytes are not a whole number of "
              + dtype.bytes()
              + "-byte elements");
    }
    return byteLength / dtype.bytes();
  }

  /** Element {@code i}, checked. */
  final long index(long i) {
    return Objects.checkIndex(i, size);
  }

  final long sliceOffset(long from, long count) {
    Objects.checkFromIndexSize(from, count, size);
    return from * dtype.bytes();
  }

  final int arraySize() {
    if (size > Integer.MAX_VALUE - 8) {
      throw new IllegalStateException(dtype + "[" + size + "]: too large for a Java array");
    }
    return (int) size;
  }
}
