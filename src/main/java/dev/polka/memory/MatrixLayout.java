package dev.polka.memory;

import java.util.Objects;

/**
 * Where the rows of a matrix lie. The elements of a row are contiguous; the rows may have two
 * levels, so that a slice of a {@code [B, T, V]} array along B or T is one matrix: the rows form
 * {@code outerRows} equal blocks, and with {@code inner = rows / outerRows} row {@code r} starts at
 * element
 *
 * <pre>{@code (r / inner) * outerStride + (r % inner) * rowStride}</pre>
 *
 * @param rows number of rows, at least 0
 * @param cols elements per row, at least 1
 * @param rowStride elements from a row to the next of its block, at least {@code cols}
 * @param outerRows number of blocks, at least 1; divides {@code rows}
 * @param outerStride elements from a block to the next, at least {@code cols}; without meaning
 *     where there is one block
 */
public record MatrixLayout(long rows, long cols, long rowStride, long outerRows, long outerStride) {

  /**
   * Checks the values against each other.
   *
   * @param rows number of rows
   * @param cols elements per row
   * @param rowStride elements from row to row
   * @param outerRows number of blocks
   * @param outerStride elements from block to block
   * @throws IllegalArgumentException if a number is outside the range named above, or the far
   *     corner cannot be addressed
   */
  public MatrixLayout {
    require(rows >= 0, "rows", rows, "at least 0");
    require(cols >= 1, "cols", cols, "at least 1");
    require(outerRows >= 1, "outerRows", outerRows, "at least 1");
    require(rows % outerRows == 0, "outerRows", outerRows, "a divisor of rows " + rows);
    long inner = rows / outerRows;
    require(inner <= 1 || rowStride >= cols, "rowStride", rowStride, "at least cols " + cols);
    require(
        rows == 0 || outerRows == 1 || outerStride >= cols,
        "outerStride",
        outerStride,
        "at least cols " + cols);
    if (rows > 0 && !isAddressable(inner, cols, rowStride, outerRows, outerStride)) {
      throw new IllegalArgumentException(
          "layout: the strides span more than 2^60 elements, beyond the address space");
    }
  }

  private static boolean isAddressable(
      long inner, long cols, long rowStride, long outerRows, long outerStride) {
    try {
      long blocks = outerRows == 1 ? 0 : Math.multiplyExact(outerRows - 1, outerStride);
      long block = inner == 1 ? 0 : Math.multiplyExact(inner - 1, rowStride);
      return Math.addExact(blocks, Math.addExact(block, cols)) <= 1L << 60;
    } catch (ArithmeticException overflow) {
      return false;
    }
  }

  private static void require(boolean holds, String what, long value, String limit) {
    if (!holds) {
      throw new IllegalArgumentException(
          "layout: " + what + " is " + value + ", it must be " + limit);
    }
  }

  /**
   * Rows without gaps.
   *
   * @param rows number of rows
   * @param cols elements per row
   * @return the layout
   */
  public static MatrixLayout contiguous(long rows, long cols) {
    return strided(rows, cols, cols);
  }

  /**
   * Rows at equal distances, such as the valid columns of a padded matrix.
   *
   * @param rows number of rows
   * @param cols elements per row
   * @param rowStride elements from row to row
   * @return the layout
   */
  public static MatrixLayout strided(long rows, long cols, long rowStride) {
    return new MatrixLayout(rows, cols, rowStride, 1, 0);
  }

  /**
   * Two levels of rows: {@code logits[:, :-1]} of a contiguous {@code [B, T, V]} array is {@code
   * blocks(B, T - 1, V, V, T * V)}.
   *
   * @param outerRows number of blocks
   * @param innerRows rows per block
   * @param cols elements per row
   * @param rowStride elements from row to row within a block
   * @param outerStride elements from block to block
   * @return the layout
   * @throws IllegalArgumentException if a number is outside its range
   */
  public static MatrixLayout blocks(
      long outerRows, long innerRows, long cols, long rowStride, long outerStride) {
    require(outerRows >= 1, "outerRows", outerRows, "at least 1");
    require(
        innerRows >= 0 && innerRows <= (1L << 60) / outerRows,
        "innerRows",
        innerRows,
        "in [0, 2^60 / outerRows]");
    return new MatrixLayout(outerRows * innerRows, cols, rowStride, outerRows, outerStride);
  }

  /**
   * Whether the rows follow each other without gaps.
   *
   * @return true if the matrix is one dense block
   */
  public boolean isContiguous() {
    long inner = rows / outerRows;
    return rows <= 1
        || (inner == 1 || rowStride == cols)
            && (outerRows == 1 || outerStride == Math.multiplyExact(inner, cols));
  }

  /**
   * The distance from the first element to one past the last.
   *
   * @return elements spanned, gaps included; 0 without rows
   */
  public long span() {
    return rows == 0 ? 0 : rowOffset(rows - 1) + cols;
  }

  /**
   * Where a row starts.
   *
   * @param row its index
   * @return the offset of its first element from the first element of the matrix
   * @throws IndexOutOfBoundsException if {@code row} is not in [0, rows)
   */
  public long rowOffset(long row) {
    Objects.checkIndex(row, rows);
    long inner = rows / outerRows;
    return row / inner * outerStride + row % inner * rowStride;
  }

  /**
   * The layout of some successive rows.
   *
   * @param from first row
   * @param to one past the last row
   * @return the layout, to be used from {@code rowOffset(from)} on
   * @throws IndexOutOfBoundsException if the range is not within [0, rows]
   * @throws IllegalArgumentException if the range covers parts of several blocks, which no layout
   *     can describe
   */
  public MatrixLayout slice(long from, long to) {
    Objects.checkFromToIndex(from, to, rows);
    long count = to - from;
    if (outerRows == 1 || count == 0) {
      return strided(count, cols, rowStride);
    }
    long inner = rows / outerRows;
    if (from / inner == (to - 1) / inner) {
      return strided(count, cols, Math.max(rowStride, cols));
    }
    if (from % inner == 0 && to % inner == 0) {
      return new MatrixLayout(count, cols, rowStride, count / inner, outerStride);
    }
    throw new IllegalArgumentException(
        String.format("rows: [%d, %d) covers parts of several blocks of %d rows", from, to, inner));
  }
}
