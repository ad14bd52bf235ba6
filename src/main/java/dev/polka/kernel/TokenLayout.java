package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Longs;
import java.util.Arrays;
import java.util.Objects;

/**
 * How the rows of a batch form sequences and which of them count, on the host: what advantages,
 * corrections, shaping and metrics over plain arrays go by. Sequence b owns rows {@code [first(b),
 * end(b))}.
 *
 * <p>Immutable and thread-safe.
 */
public final class TokenLayout {
  private final int[] offsets;
  private final boolean[] mask; // null: every row counts

  private TokenLayout(int[] offsets, boolean[] mask) {
    this.offsets = offsets;
    this.mask = mask;
  }

  /**
   * Sequences one after another, all of whose rows count.
   *
   * @param offsets {@code [sequences + 1]} the first row of each sequence, from 0, and the number
   *     of rows
   * @return the layout
   * @throws IllegalArgumentException if there is no offset, the first is not 0, or one falls
   */
  public static TokenLayout ofOffsets(long... offsets) {
    if (offsets.length == 0 || offsets[0] != 0) {
      throw new IllegalArgumentException(
          "offsets: " + Arrays.toString(offsets) + " do not start with 0");
    }
    int[] starts = new int[offsets.length];
    for (int b = 1; b < offsets.length; b++) {
      if (offsets[b] < offsets[b - 1]) {
        throw new IllegalArgumentException(
            "offsets: entry " + b + " falls from " + offsets[b - 1] + " to " + offsets[b]);
      }
      starts[b] = Require.arraySize("offsets: entry " + b, offsets[b]);
    }
    return new TokenLayout(starts, null);
  }

  /**
   * Sequences of these lengths, all of whose rows count.
   *
   * @param lengths rows of each sequence
   * @return the layout
   * @throws IllegalArgumentException if a length is negative
   */
  public static TokenLayout ofLengths(long... lengths) {
    long[] offsets = new long[lengths.length + 1];
    for (int b = 0; b < lengths.length; b++) {
      if (lengths[b] < 0) {
        throw new IllegalArgumentException(
            "lengths: " + lengths[b] + " of sequence " + b + " is negative");
      }
      // Neither is above 2^31 but the last length: the sum cannot wrap to a number in range.
      offsets[b + 1] = Require.arraySize("lengths: their sum", offsets[b] + lengths[b]);
    }
    return ofOffsets(offsets);
  }

  /**
   * A padded batch {@code [lengths.length, width]}, of which the first rows of each sequence count.
   *
   * @param width rows of a sequence, padding included
   * @param lengths rows of each sequence that count
   * @return the layout
   * @throws IllegalArgumentException if a length is not in [0, width], or there are 2^31 rows
   */
  public static TokenLayout padded(int width, long... lengths) {
    int[] starts = new int[lengths.length + 1];
    if (width < 0) {
      throw new IllegalArgumentException("width: " + width + " is negative");
    }
    Require.arraySize("width: rows", (long) lengths.length * width);
    Arrays.setAll(starts, b -> b * width);
    boolean[] mask = new boolean[starts[lengths.length]];
    for (int b = 0; b < lengths.length; b++) {
      if (lengths[b] < 0 || lengths[b] > width) {
        throw new IllegalArgumentException(
            "lengths: " + lengths[b] + " of sequence " + b + " is not in [0, " + width + "]");
      }
      Arrays.fill(mask, starts[b], starts[b] + (int) lengths[b], true);
    }
    return new TokenLayout(starts, mask);
  }

  /**
   * Lets only some rows count: those that the policy wrote, say, and not what a tool answered.
   *
   * @param mask one per row
   * @return the layout with it
   * @throws IllegalArgumentException if there is not one per row
   */
  public TokenLayout withMask(boolean... mask) {
    requireRows("mask", mask.length);
    return new TokenLayout(offsets, mask.clone());
  }

  /**
   * Leaves out some of the rows that count: what a rejection dropped, say.
   *
   * @param keep one per row
   * @return the layout of the rows that counted and are kept
   * @throws IllegalArgumentException if there is not one per row
   */
  public TokenLayout keeping(boolean... keep) {
    requireRows("keep", keep.length);
    boolean[] both = new boolean[keep.length];
    for (int row = 0; row < keep.length; row++) {
      both[row] = keep[row] && counts(row);
    }
    return new TokenLayout(offsets, both);
  }

  /** {@return the number of sequences, empty ones included} */
  public int sequences() {
    return offsets.length - 1;
  }

  /** {@return the number of rows, masked ones included} */
  public int rows() {
    return offsets[offsets.length - 1];
  }

  /**
   * {@return the first row of a sequence}
   *
   * @param sequence which
   */
  public int first(int sequence) {
    return offsets[sequence];
  }

  /**
   * {@return the row after the last one of a sequence}
   *
   * @param sequence which
   */
  public int end(int sequence) {
    return offsets[Objects.checkIndex(sequence, sequences()) + 1];
  }

  /**
   * {@return whether a row counts}
   *
   * @param row which
   */
  public boolean counts(int row) {
    return mask == null || mask[row];
  }

  /**
   * {@return the number of rows of a sequence that count}
   *
   * @param sequence which
   */
  public int tokens(int sequence) {
    int tokens = 0;
    for (int row = first(sequence); row < end(sequence); row++) {
      tokens += counts(row) ? 1 : 0;
    }
    return tokens;
  }

  /** {@return the number of rows that count} */
  public int tokens() {
    int tokens = 0;
    for (int b = 0; b < sequences(); b++) {
      tokens += tokens(b);
    }
    return tokens;
  }

  /** {@return the number of rows of each sequence that count} */
  public long[] tokenCounts() {
    long[] counts = new long[sequences()];
    Arrays.setAll(counts, this::tokens);
    return counts;
  }

  /**
   * Gives each row that counts the value of its sequence, and the others 0.
   *
   * @param perSequence one per sequence
   * @return one per row
   * @throws IllegalArgumentException if there is not one per sequence
   */
  public double[] spread(double... perSequence) {
    requireSequences("perSequence", perSequence.length);
    double[] perRow = new double[rows()];
    for (int b = 0; b < sequences(); b++) {
      for (int row = first(b); row < end(b); row++) {
        perRow[row] = counts(row) ? perSequence[b] : 0;
      }
    }
    return perRow;
  }

  /**
   * Sums each sequence's rows that count.
   *
   * @param perRow one per row; what stands at rows that do not count is not read
   * @return one per sequence
   * @throws IllegalArgumentException if there is not one per row
   */
  public double[] sums(double... perRow) {
    requireRows("perRow", perRow.length);
    double[] sums = new double[sequences()];
    for (int b = 0; b < sums.length; b++) {
      for (int row = first(b); row < end(b); row++) {
        sums[b] += counts(row) ? perRow[row] : 0;
      }
    }
    return sums;
  }

  /**
   * Averages each sequence over its rows that count.
   *
   * @param perRow one per row; what stands at rows that do not count is not read
   * @return one per sequence, 0 where none counts
   * @throws IllegalArgumentException if there is not one per row
   */
  public double[] means(double... perRow) {
    double[] means = sums(perRow);
    for (int b = 0; b < means.length; b++) {
      means[b] /= Math.max(tokens(b), 1);
    }
    return means;
  }

  /** {@return the offsets for {@link TokenBatch}; close them} */
  public Longs offsets() {
    return Longs.copyOf(Arrays.stream(offsets).asLongStream().toArray());
  }

  /** {@return the mask for {@link Targets} or {@link TokenBatch}; close it} */
  public Bytes mask() {
    boolean[] all = new boolean[rows()];
    for (int row = 0; row < all.length; row++) {
      all[row] = counts(row);
    }
    return Bytes.copyOf(all);
  }

  /**
   * Checks that an array has one element per row.
   *
   * @param name what it is called
   * @param length how many it has
   * @throws IllegalArgumentException if that is not so
   */
  public void requireRows(String name, int length) {
    require(name, length, rows(), "row");
  }

  /**
   * Checks that an array has one element per sequence.
   *
   * @param name what it is called
   * @param length how many it has
   * @throws IllegalArgumentException if that is not so
   */
  public void requireSequences(String name, int length) {
    require(name, length, sequences(), "sequence");
  }

  private static void require(String name, int length, int needed, String each) {
    if (length != needed) {
      throw new IllegalArgumentException(
          name + ": has " + length + " elements, " + needed + " (one per " + each + ") are needed");
    }
  }
}
