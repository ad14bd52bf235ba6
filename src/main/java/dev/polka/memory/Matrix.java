package dev.polka.memory;

import java.lang.ref.Reference;
import java.nio.Buffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.Objects;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.ShortPointer;

/**
 * A {@code [rows, cols]} view of f32, bf16 or f16 memory: logits, with one row per token and one
 * column per vocabulary entry, or their gradient. The elements of a row are contiguous; see {@link
 * MatrixLayout} for what the rows may do.
 *
 * <p>The view keeps a strong reference to what it looks at. Closing it frees the memory only if
 * Polka allocated it; a view of a buffer, an address or a tensor has nothing to free. A closed view
 * refuses to be used. Sizes are 64-bit: a matrix may have more than 2^32 elements.
 *
 * <p>A view belongs to one thread at a time.
 */
public final class Matrix implements AutoCloseable {
  private static final String NAME = "Matrix";

  private final DType dtype;
  private final MatrixLayout layout;
  private final Region region;

  private Matrix(DType dtype, MatrixLayout layout, Region region) {
    this.dtype = dtype;
    this.layout = layout;
    this.region = region;
  }

  /**
   * Views a direct buffer of f32, row after row, from its position on.
   *
   * @param buffer a direct buffer in native byte order; a read-only one gives a read-only view
   * @param rows number of rows
   * @param cols elements per row
   * @return the view
   * @throws IllegalArgumentException if the buffer is on the heap, in the other byte order or too
   *     small, or a size is out of range
   */
  public static Matrix of(FloatBuffer buffer, long rows, long cols) {
    return of(buffer, MatrixLayout.contiguous(rows, cols));
  }

  /**
   * Views a direct buffer of f32 with any layout, from its position on.
   *
   * @param buffer a direct buffer in native byte order; a read-only one gives a read-only view
   * @param layout where the rows lie
   * @return the view
   * @throws IllegalArgumentException if the buffer is on the heap, in the other byte order or too
   *     small
   */
  public static Matrix of(FloatBuffer buffer, MatrixLayout layout) {
    return of(buffer, buffer.order(), DType.F32, layout);
  }

  /**
   * Views a direct buffer of bf16 or f16, row after row, from its position on.
   *
   * @param buffer a direct buffer in native byte order; a read-only one gives a read-only view
   * @param dtype {@link DType#BF16} or {@link DType#F16}
   * @param rows number of rows
   * @param cols elements per row
   * @return the view
   * @throws IllegalArgumentException if the buffer is on the heap, in the other byte order or too
   *     small, a size is out of range, or {@code dtype} has not 16 bits
   */
  public static Matrix of(ShortBuffer buffer, DType dtype, long rows, long cols) {
    return of(buffer, dtype, MatrixLayout.contiguous(rows, cols));
  }

  /**
   * Views a direct buffer of bf16 or f16 with any layout, from its position on.
   *
   * @param buffer a direct buffer in native byte order; a read-only one gives a read-only view
   * @param dtype {@link DType#BF16} or {@link DType#F16}
   * @param layout where the rows lie
   * @return the view
   * @throws IllegalArgumentException if the buffer is on the heap, in the other byte order or too
   *     small, or {@code dtype} has not 16 bits
   */
  public static Matrix of(ShortBuffer buffer, DType dtype, MatrixLayout layout) {
    if (dtype != DType.BF16 && dtype != DType.F16) {
      throw new IllegalArgumentException(
          "Matrix: dtype " + dtype + " does not fit a ShortBuffer; BF16 and F16 do");
    }
    return of(buffer, buffer.order(), dtype, layout);
  }

  private static Matrix of(Buffer buffer, ByteOrder order, DType dtype, MatrixLayout layout) {
    long address = JavaCpp.addressOf(buffer, order, dtype, NAME);
    requireFits(layout, buffer.remaining());
    long bytes = layout.span() * dtype.bytes();
    return new Matrix(
        dtype,
        layout,
        new Region(NAME, dtype, address, bytes, Placement.CPU, buffer, buffer.isReadOnly(), null));
  }

  private static void requireFits(MatrixLayout layout, long elements) {
    if (layout.span() > elements) {
      throw new IllegalArgumentException(
          String.format(
              "Matrix: [%d, %d] spans %d elements, the memory has %d",
              layout.rows(), layout.cols(), layout.span(), elements));
    }
  }

  /**
   * Views host memory at a raw address, row after row. Unchecked: the caller answers for the
   * address and keeps it valid while the view is used.
   *
   * @param address where the first element lies
   * @param byteLength how many bytes from there on may be touched
   * @param dtype the element type
   * @param rows number of rows
   * @param cols elements per row
   * @return the view
   * @throws IllegalArgumentException if the matrix is longer than {@code byteLength}, the address
   *     is 0 or not aligned, or {@code dtype} is none of f32, bf16, f16
   */
  public static Matrix ofAddress(long address, long byteLength, DType dtype, long rows, long cols) {
    return ofAddress(address, byteLength, dtype, MatrixLayout.contiguous(rows, cols));
  }

  /**
   * Views host memory at a raw address with any layout. Unchecked: the caller answers for the
   * address and keeps it valid while the view is used.
   *
   * @param address where the first element lies
   * @param byteLength how many bytes from there on may be touched
   * @param dtype the element type
   * @param layout where the rows lie
   * @return the view
   * @throws IllegalArgumentException if the matrix is longer than {@code byteLength}, the address
   *     is 0 or not aligned, or {@code dtype} is none of f32, bf16, f16
   */
  public static Matrix ofAddress(long address, long byteLength, DType dtype, MatrixLayout layout) {
    requireLogits(dtype);
    requireFits(layout, Math.max(byteLength, 0) / dtype.bytes());
    return view(address, dtype, layout, Placement.CPU, null);
  }

  /**
   * Views memory that another library owns: the entry for adapters. Unchecked like {@link
   * #ofAddress(long, long, DType, MatrixLayout)}, but on any device and with an owner that the view
   * keeps reachable and gives back from {@link #owner()}.
   *
   * @param address where the first element lies
   * @param dtype the element type
   * @param layout where the rows lie
   * @param placement device, stream, and the allocator for results
   * @param owner what keeps the address valid, or null
   * @return the view
   * @throws IllegalArgumentException if the address is 0 or not aligned, or {@code dtype} is none
   *     of f32, bf16, f16
   */
  public static Matrix view(
      long address, DType dtype, MatrixLayout layout, Placement placement, Object owner) {
    requireLogits(dtype);
    long bytes = Math.multiplyExact(layout.span(), (long) dtype.bytes());
    return new Matrix(
        dtype, layout, new Region(NAME, dtype, address, bytes, placement, owner, false, null));
  }

  private static void requireLogits(DType dtype) {
    if (!dtype.isLogits()) {
      throw new IllegalArgumentException("Matrix: dtype " + dtype + " is none of F32, BF16, F16");
    }
  }

  /**
   * Copies values, rounded to nearest, into host memory of their own.
   *
   * @param dtype the element type
   * @param rows number of rows
   * @param cols elements per row
   * @param values the elements, row after row
   * @return a matrix that owns its memory; close it
   * @throws IllegalArgumentException if there are not {@code rows * cols} values
   */
  public static Matrix copyOf(DType dtype, long rows, long cols, float... values) {
    MatrixLayout layout = MatrixLayout.contiguous(rows, cols); // at most 2^60 elements
    if (layout.rows() * layout.cols() != values.length) {
      throw new IllegalArgumentException(
          "Matrix: [" + rows + ", " + cols + "] has not the " + values.length + " elements given");
    }
    Matrix copy = allocate(dtype, rows, cols);
    int next = 0;
    for (long r = 0; r < rows; r++) {
      for (long c = 0; c < cols; c++) {
        copy.set(r, c, values[next++]);
      }
    }
    return copy;
  }

  /**
   * Allocates host memory. The contents are undefined.
   *
   * @param dtype the element type
   * @param rows number of rows
   * @param cols elements per row
   * @return a matrix that owns its memory; close it
   * @throws IllegalArgumentException if a size is out of range or {@code dtype} is none of f32,
   *     bf16, f16
   */
  public static Matrix allocate(DType dtype, long rows, long cols) {
    return allocate(Placement.CPU, dtype, rows, cols);
  }

  /**
   * Allocates memory where another view's memory lies. The contents are undefined.
   *
   * @param placement the device, and the allocator to ask
   * @param dtype the element type
   * @param rows number of rows
   * @param cols elements per row
   * @return a matrix that owns its memory; close it
   * @throws IllegalArgumentException if a size is out of range or {@code dtype} is none of f32,
   *     bf16, f16
   */
  public static Matrix allocate(Placement placement, DType dtype, long rows, long cols) {
    requireLogits(dtype);
    MatrixLayout layout = MatrixLayout.contiguous(rows, cols);
    return new Matrix(
        dtype,
        layout,
        Region.owned(NAME, dtype, placement, placement.allocator().allocate(dtype, rows, cols)));
  }

  /**
   * Some successive rows. Closing the part frees nothing.
   *
   * @param from first row
   * @param to one past the last row
   * @return a view of these rows
   * @throws IndexOutOfBoundsException if the range is not within [0, rows]
   * @throws IllegalArgumentException if the range covers parts of several blocks of a two-level
   *     layout
   */
  public Matrix rows(long from, long to) {
    MatrixLayout part = layout.slice(from, to);
    long offset = from == to ? 0 : layout.rowOffset(from) * dtype.bytes();
    return new Matrix(dtype, part, region.part(dtype, offset, part.span() * dtype.bytes()));
  }

  /**
   * Where the first element lies.
   *
   * @return the address; may be 0 where there are no rows
   * @throws IllegalStateException if the view is closed
   */
  public long address() {
    return region.address();
  }

  /** {@return the element type} */
  public DType dtype() {
    return dtype;
  }

  /** {@return where the rows lie} */
  public MatrixLayout layout() {
    return layout;
  }

  /** {@return the number of rows} */
  public long rows() {
    return layout.rows();
  }

  /** {@return the number of columns} */
  public long cols() {
    return layout.cols();
  }

  /** {@return the bytes from the first element to one past the last, gaps between rows included} */
  public long span() {
    return layout.span() * dtype.bytes();
  }

  /** {@return where the memory lies: device, stream and allocator} */
  public Placement placement() {
    return region.placement();
  }

  /** {@return the device of the memory} */
  public Device device() {
    return region.placement().device();
  }

  /** {@return true if the view may only be read, being of a read-only buffer} */
  public boolean readOnly() {
    return region.readOnly();
  }

  /** {@return what keeps the address valid: the buffer, the tensor, or null for a raw address} */
  public Object owner() {
    return region.owner();
  }

  /**
   * Reads one element. For small things and tests.
   *
   * @param row its row
   * @param col its column
   * @return its value as f32
   * @throws IndexOutOfBoundsException if it is outside the matrix
   * @throws IllegalStateException if the view is closed or not in host memory
   */
  public float get(long row, long col) {
    try {
      long address = element(region.hostAddress(), row, col);
      return switch (dtype) {
        case F32 -> new FloatPointer(JavaCpp.at(address)).get();
        case BF16 -> HalfFloats.fromBf16(new ShortPointer(JavaCpp.at(address)).get());
        default -> HalfFloats.fromF16(new ShortPointer(JavaCpp.at(address)).get());
      };
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Writes one element, rounded to nearest. For small things and tests.
   *
   * @param row its row
   * @param col its column
   * @param value its new value
   * @throws IndexOutOfBoundsException if it is outside the matrix
   * @throws IllegalStateException if the view is closed, read-only or not in host memory
   */
  public void set(long row, long col, float value) {
    try {
      long address = element(region.writableHostAddress(), row, col);
      switch (dtype) {
        case F32 -> new FloatPointer(JavaCpp.at(address)).put(value);
        case BF16 -> new ShortPointer(JavaCpp.at(address)).put(HalfFloats.toBf16(value));
        default -> new ShortPointer(JavaCpp.at(address)).put(HalfFloats.toF16(value));
      }
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Copies the elements out, row after row. For small things and tests.
   *
   * @return a new array of {@code rows * cols} elements as f32
   * @throws IllegalStateException if the view is closed, not in host memory, or too large
   */
  public float[] toArray() {
    if (rows() > (Integer.MAX_VALUE - 8) / cols()) {
      throw new IllegalStateException(this + ": too large for a Java array");
    }
    float[] values = new float[(int) (rows() * cols())];
    int next = 0;
    for (long r = 0; r < rows(); r++) {
      for (long c = 0; c < cols(); c++) {
        values[next++] = get(r, c);
      }
    }
    return values;
  }

  private long element(long base, long row, long col) {
    return base + (layout.rowOffset(row) + Objects.checkIndex(col, layout.cols())) * dtype.bytes();
  }

  /**
   * Tells the {@link Owner} of the memory, if it has one, that the memory was written by something
   * other than its library. Operations do this for what they write.
   */
  public void written() {
    region.written();
  }

  /** Frees the memory if Polka allocated it; the view refuses to be used from then on. */
  @Override
  public void close() {
    region.close();
  }

  /** The type, shape and device. */
  @Override
  public String toString() {
    return String.format("%s[%d, %d] on %s", dtype, rows(), cols(), device());
  }
}
