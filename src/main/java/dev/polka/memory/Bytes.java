package dev.polka.memory;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.BytePointer;

/**
 * A view of bytes: masks with one byte per row (0 = skip), packed bits of a keep-mask. See {@link
 * Values} for ownership and threads.
 */
public final class Bytes extends Values {
  private static final String NAME = "Bytes";

  private final BytePointer pointer;

  private Bytes(long size, Region region) {
    super(DType.U8, size, region);
    this.pointer = new BytePointer(JavaCpp.at(region.address()));
  }

  /**
   * Views the remaining elements of a direct buffer.
   *
   * @param buffer the buffer; a read-only one gives a read-only view
   * @return a view of the buffer's memory from its position to its limit
   * @throws IllegalArgumentException if the buffer is on the heap
   */
  public static Bytes of(ByteBuffer buffer) {
    long address = JavaCpp.addressOf(buffer, ByteOrder.nativeOrder(), DType.U8, NAME);
    long bytes = (long) buffer.remaining() * DType.U8.bytes();
    return new Bytes(
        buffer.remaining(),
        new Region(
            NAME, DType.U8, address, bytes, Placement.CPU, buffer, buffer.isReadOnly(), null));
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
  public static Bytes ofAddress(long address, long byteLength) {
    return view(address, elements(NAME, DType.U8, byteLength), Placement.CPU, null);
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
  public static Bytes view(long address, long size, Placement placement, Object owner) {
    long bytes = bytes(NAME, DType.U8, size);
    return new Bytes(
        size, new Region(NAME, DType.U8, address, bytes, placement, owner, false, null));
  }

  /**
   * Copies an array into memory of its own.
   *
   * @param values the values
   * @return a view that owns its memory; close it
   */
  public static Bytes copyOf(byte... values) {
    Bytes copy = allocate(values.length);
    copy.pointer.put(values, 0, values.length);
    return copy;
  }

  /**
   * Copies a mask: 1 where a value is true, 0 where it is false.
   *
   * @param mask the values
   * @return a view that owns its memory; close it
   */
  public static Bytes copyOf(boolean... mask) {
    byte[] values = new byte[mask.length];
    for (int i = 0; i < mask.length; i++) {
      values[i] = (byte) (mask[i] ? 1 : 0);
    }
    return copyOf(values);
  }

  /**
   * Allocates host memory. The contents are undefined.
   *
   * @param size number of elements
   * @return a view that owns its memory; close it
   * @throws IllegalArgumentException if {@code size} is negative
   */
  public static Bytes allocate(long size) {
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
  public static Bytes allocate(Placement placement, long size) {
    bytes(NAME, DType.U8, size);
    return new Bytes(
        size,
        Region.owned(NAME, DType.U8, placement, placement.allocator().allocate(DType.U8, 1, size)));
  }

  /**
   * A part of this view. Closing it frees nothing.
   *
   * @param from first element
   * @param count number of elements
   * @return a view of the elements from {@code from} on
   * @throws IndexOutOfBoundsException if the part reaches beyond this view
   */
  public Bytes slice(long from, long count) {
    long offset = sliceOffset(from, count);
    return new Bytes(count, region().part(DType.U8, offset, count * DType.U8.bytes()));
  }

  /**
   * Reads one element.
   *
   * @param i its index
   * @return its value
   * @throws IndexOutOfBoundsException if {@code i} is not in [0, size)
   * @throws IllegalStateException if the view is closed or not in host memory
   */
  public byte get(long i) {
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
  public void set(long i, byte value) {
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
  public byte[] toArray() {
    try {
      region().hostAddress();
      byte[] values = new byte[arraySize()];
      if (values.length > 0) { // JavaCPP refuses to read nothing from nowhere
        pointer.get(values, 0, values.length);
      }
      return values;
    } finally {
      Reference.reachabilityFence(this);
    }
  }
}
