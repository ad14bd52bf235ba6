package dev.polka.kernel.internal;

import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import java.nio.ByteBuffer;

/** Byte offsets of {@code polka_matrix}. */
public final class MatrixStruct {
  public static final int DATA = 0;
  public static final int ROWS = 8;
  public static final int COLS = 16;
  public static final int ROW_STRIDE = 24;
  public static final int OUTER_ROWS = 32;
  public static final int OUTER_STRIDE = 40;
  public static final int DTYPE = 48;
  public static final int RESERVED = 52;

  /** Bytes of the whole struct. */
  public static final int SIZE = 56;

  private MatrixStruct() {}

  static void write(ByteBuffer to, int at, Matrix matrix) {
    MatrixLayout layout = matrix.layout();
    to.putLong(at + DATA, matrix.address());
    to.putLong(at + ROWS, layout.rows());
    to.putLong(at + COLS, layout.cols());
    to.putLong(at + ROW_STRIDE, layout.rowStride());
    to.putLong(at + OUTER_ROWS, layout.outerRows());
    to.putLong(at + OUTER_STRIDE, layout.outerStride());
    to.putInt(at + DTYPE, matrix.dtype().code());
  }
}
