package dev.polka.memory;

/**
 * Gives out memory for results. An input view carries the allocator of the library it came from, so
 * that the result of an operation on a tensor is a tensor again, without a copy.
 *
 * <p>Implementations are thread-safe.
 */
public interface Allocator {

  /**
   * Allocates {@code rows * cols} contiguous elements. The contents are undefined.
   *
   * @param dtype the element type
   * @param rows number of rows, at least 0
   * @param cols elements per row, at least 0
   * @return the block; the caller closes it
   * @throws IllegalArgumentException if a size is negative, or the size in bytes does not fit in 63
   *     bits
   * @throws OutOfMemoryError if there is not enough memory
   */
  Allocation allocate(DType dtype, long rows, long cols);

  /**
   * The size of a block, for implementations.
   *
   * @param dtype the element type
   * @param rows number of rows, at least 0
   * @param cols elements per row, at least 0
   * @return {@code rows * cols} elements in bytes
   * @throws IllegalArgumentException if a size is negative, or the product does not fit in 63 bits
   */
  static long bytes(DType dtype, long rows, long cols) {
    if (rows < 0 || cols < 0 || cols > 0 && rows > Long.MAX_VALUE / dtype.bytes() / cols) {
      throw new IllegalArgumentException(
          "allocate: shape ["
              + rows
              + ", "
              + cols
              + "] of "
              + dtype
              + " is negative or has 2^63 bytes or more");
    }
    return rows * cols * dtype.bytes();
  }

  /**
   * Host memory from the C heap: any size, not zeroed, freed by {@link Allocation#close()} or, at
   * the latest, some time after the allocation is garbage. It counts against JavaCPP's limits
   * {@code org.bytedeco.javacpp.maxBytes} (the size of the Java heap unless set) and {@code
   * maxPhysicalBytes}; 0 switches either off.
   *
   * @return the allocator
   */
  static Allocator nativeMemory() {
    return NativeMemory.ALLOCATOR;
  }
}
