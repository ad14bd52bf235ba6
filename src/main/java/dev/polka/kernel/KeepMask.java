package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.SoftmaxStruct;
import dev.polka.memory.Bytes;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Which columns of each row a sampler could have chosen: the truncated distribution of top-k or
 * top-p sampling. One bit per column, least significant bit of a byte first; a column whose bit is
 * 0 counts as {@code -inf}, after softcap and temperature. The target of a row is always kept.
 *
 * <p>A view: the bits stay where they are. Immutable apart from them.
 */
public final class KeepMask {
  private final Bytes bits;
  private final long rowStride;

  private KeepMask(Bytes bits, long rowStride) {
    this.bits = bits;
    this.rowStride = rowStride;
  }

  /**
   * Views packed bits.
   *
   * @param bits the bytes of all rows
   * @param rowStride bytes from row to row, at least {@code (columns + 7) / 8}
   * @return the mask
   * @throws IllegalArgumentException if {@code rowStride} is less than 1
   */
  public static KeepMask of(Bytes bits, long rowStride) {
    if (rowStride < 1) {
      throw new IllegalArgumentException(
          "keepMask: rowStride is " + rowStride + ", not at least 1");
    }
    return new KeepMask(Objects.requireNonNull(bits, "bits"), rowStride);
  }

  /**
   * Packs booleans into memory of its own, which is freed once the mask is garbage.
   *
   * @param keep {@code [rows][columns]}, true for a column that is kept; rows of equal length
   * @return the mask
   * @throws IllegalArgumentException if the rows differ in length
   */
  public static KeepMask copyOf(boolean[][] keep) {
    int columns = keep.length == 0 ? 0 : keep[0].length;
    int stride = Math.max((columns + 7) / 8, 1);
    byte[] packed = new byte[Require.arraySize("keepMask: bytes", (long) keep.length * stride)];
    for (int r = 0; r < keep.length; r++) {
      if (keep[r].length != columns) {
        throw new IllegalArgumentException(
            "keepMask: row " + r + " has " + keep[r].length + " columns, row 0 has " + columns);
      }
      for (int c = 0; c < columns; c++) {
        packed[r * stride + c / 8] |= (byte) ((keep[r][c] ? 1 : 0) << c % 8);
      }
    }
    return new KeepMask(Bytes.copyOf(packed), stride);
  }

  void write(NativeCall call, ByteBuffer struct, int softmax, long rows, long columns) {
    long rowBytes = (columns + 7) / 8;
    if (rowStride < rowBytes) {
      throw new IllegalArgumentException(
          "keepMask: rowStride " + rowStride + " is less than the " + rowBytes + " bytes of a row");
    }
    if (rows > 0) {
      long needed = Require.product("keepMask: rows", rows, rowStride) - rowStride + rowBytes;
      call.inAtLeast("keepMask", bits, needed, softmax + SoftmaxStruct.KEEP_MASK);
    }
    struct.putLong(softmax + SoftmaxStruct.KEEP_MASK_STRIDE, rowStride);
  }
}
