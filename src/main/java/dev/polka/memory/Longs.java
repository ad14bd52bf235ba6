package dev.polka.memory;

import java.lang.ref.Reference;
import java.nio.LongBuffer;
import org.bytedeco.javacpp.LongPointer;

/**
 * A view of 64-bit integers: targets, token ids, offsets, counts. See {@link Values} for ownership
 * and threads.
 */
public final class Longs extends Values {
  private static final String NAME = "Longs";

  private final LongPointer pointer;

  private Longs(long size, Region region) {
    super(DType.I64, size, region);
    this.pointer = new LongPointer(JavaCpp.at(region.address()));
  }

  /**
   * Views the remaining elements of a direct buffer in native byte order.
   *
   * @param buffer the buffer; a read-only one gives a read-only view
   * @return a view of the buffer's memory from its position to its limit
   * @throws IllegalArgumentException if the buffer is on the heap, in the other byte order, or not
   *     aligned to its elements
   */
  public static Longs of(LongBuffer buffer) {
    long address = JavaCpp.addressOf(buffer, buffer.order(), DType.I64, NAME);
    long bytes = (long) buffer.remaining() * DType.I64.bytes();
    return new Longs(
        buffer.remaining(),
        new Region(
            NAME, DType.I64, address, bytes, Placement.CPU, buffer, buffer.isReadOnly(), null));
  }

  /**
   * Views host memory at a raw address. Unchecked: the caller answers for the address and keeps it
   * valid while the view is used.
   *
   * @param address where the first element lies
   * @param byteLength how many bytes from there on belong to the view
   * @return the view
   * @throws IllegalArgumentException if the length is not a whole number of elements, the address
   *     is not aligned to them, or it is 0
   */
  public static Longs ofAddress(long address, long byteLength) {
    return view(address, elements(NAME, DType.I64, byteLength), Placement.CPU, null);
  }

  /**
   * Views memory that another library owns: the entry for adapters. Unchecked like {@link
   * #ofAddress}, but on any device and with an owner that the view keeps reachable.
   *
   * @param address where the first element lies
   * @param size number of elements
   * @param placement device, stream and allocator
   * @param owner what keeps the address valid, or null
   * @return the view
   * @throws IllegalArgumentException if the size is negative, or the address 0 or not aligned
   */
  public static Longs view(long address, long size, Placement placement, Object owner) {
    long bytes = bytes(NAME, DType.I64, size);
    return new Longs(
        size, new Region(NAME, DType.I64, address, bytes, placement, owner, false, null));
  }

  /**
   * Copies an array into memory of its own.
   *
   * @param values the values
   * @return a view that owns its memory; close it
   */
  public static Longs copyOf(long... values) {
    Longs copy = allocate(values.length);
    copy.pointer.put(values, 0, values.length);
    return copy;
  }

  /**
   * Allocates host memory. The contents are undefined.
   *
   * @param size number of elements
   * @return a view that owns its memory; close it
   * @throws IllegalArgumentException if {@code size} is negative
   */
  public static Longs allocate(long size) {
    return allocate(Placement.CPU, size);
  }

  /**
   * Allocates memory where another view's memory lies. The contents are undefined.
   *
   * @param placement the device, and the allocator to ask
   * @param size number of elements
   * @return a view that owns its memory; close it
   * @throws IllegalArgumentException if {@code size} is negative
   */
  public static Longs allocate(Placement placement, long size) {
    bytes(NAME, DType.I64, size);
    return new Longs(
        size,
        Region.owned(
            NAME, DType.I64, placement, placement.allocator().allocate(DType.I64, 1, size)));
  }

  /**
   * A part of this view. Closing it frees nothing.
   *
   * @param from first element
   * @param count number of elements
   * @return a view of the elements from {@code from} on
   * @throws IndexOutOfBoundsException if the part reaches beyond this view
   */
  public Longs slice(long from, long count) {
    long offset = sliceOffset(from, count);
    return new Longs(count, region().part(DType.I64, offset, count * DType.I64.bytes()));
  }

  /**
   * Reads one element.
   *
   * @param i its index
   * @return its value
   * @throws IndexOutOfBoundsException if {@code i} is not in [0, size)
   * @throws IllegalStateException if the view is closed or not in host memory
   */
  public long get(long i) {
    try {
      region().hostAddress();
      return pointer.get(index(i));
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Writes one element.
   *
   * @param i its index
   * @param value its new value
   * @throws IndexOutOfBoundsException if {@code i} is not in [0, size)
   * @throws IllegalStateException if the view is closed, read-only or not in host memory
   */
  public void set(long i, long value) {
    try {
      region().writableHostAddress();
      pointer.put(index(i), value);
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Copies the elements out.
   *
   * @return a new array
   * @throws IllegalStateException if the view is closed, not in host memory, or too large
   */
  public long[] toArray() {
    try {
      region().hostAddress();
      long[] values = new long[arraySize()];
      if (values.length > 0) { // JavaCPP refuses to read nothing from nowhere
        pointer.get(values, 0, values.length);
      }
      return values;
    } finally {
      Reference.reachabilityFence(this);
    }
  }
}
