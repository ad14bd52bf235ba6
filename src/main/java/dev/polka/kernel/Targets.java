package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.TargetsStruct;
import dev.polka.memory.Bytes;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import dev.polka.memory.Values;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * The vocabulary entry that each row of logits is about, and which rows count: one int64 or int32
 * per row. A row is skipped where its target is the ignore index or its mask byte is 0; its outputs
 * are 0 and its logits are not read, so that NaN there changes nothing.
 *
 * <p>A target outside the vocabulary, on a row that counts, makes the call throw {@link
 * IndexOutOfBoundsException} with the first such row and its value, before anything is written.
 *
 * <p>A view: the ids stay where they are, except after {@code nextToken}, which makes its own.
 * Closing frees only those. Immutable apart from the memory viewed.
 */
public final class Targets implements AutoCloseable {
  /** The ignore index unless another is chosen: -100, as PyTorch and Hugging Face have it. */
  public static final long IGNORE_INDEX = -100;

  private final Values ids;
  private final Bytes mask;
  private final long ignoreIndex;

  private Targets(Values ids, Bytes mask, long ignoreIndex) {
    this.ids = Objects.requireNonNull(ids, "ids");
    this.mask = mask;
    this.ignoreIndex = ignoreIndex;
  }

  /**
   * Targets of 64 bits.
   *
   * @param ids one per row
   * @return the targets, with ignore index -100 and no mask
   */
  public static Targets of(Longs ids) {
    return new Targets(ids, null, IGNORE_INDEX);
  }

  /**
   * Targets of 32 bits.
   *
   * @param ids one per row
   * @return the targets, with ignore index -100 and no mask
   */
  public static Targets of(Ints ids) {
    return new Targets(ids, null, IGNORE_INDEX);
  }

  /**
   * Shifts token ids into next-token targets: the logits at position t are about token t + 1, so
   * that {@code targets[b, t] = ids[b, t + 1]} where {@code mask[b, t + 1]} is set, and the ignore
   * index elsewhere and in the last column. Nobody needs to slice logits.
   *
   * @param ids {@code [batch, length]} token ids in host memory, row after row
   * @param batch number of sequences
   * @param length tokens per sequence, padding included
   * @param mask {@code [batch, length]} bytes, 0 for tokens that are not learned from (prompt,
   *     padding, tool output), or null for all
   * @return targets {@code [batch * length]} that own their memory; close them
   * @throws IllegalArgumentException if a size is negative, or {@code ids} or {@code mask} have not
   *     {@code batch * length} elements
   */
  public static Targets nextToken(Longs ids, long batch, long length, Bytes mask) {
    Objects.requireNonNull(ids, "ids");
    if (batch < 0 || length < 0) {
      throw new IllegalArgumentException(
          "nextToken: batch " + batch + " and length " + length + " must not be negative");
    }
    long count = Require.product("batch", batch, length);
    requireSize("ids", ids, count);
    long[] next = shifted(ids, mask);
    for (long b = 1; b <= batch && length > 0; b++) {
      next[(int) (b * length - 1)] = IGNORE_INDEX;
    }
    return of(Longs.copyOf(next));
  }

  /**
   * The same for packed sequences: the last token of each has the ignore index as its target.
   *
   * @param ids token ids of all sequences, one after the other, in host memory
   * @param offsets {@code [sequences + 1]} where each sequence starts, and the total
   * @param mask one byte per token, 0 for tokens that are not learned from, or null for all
   * @return targets, one per token, that own their memory; close them
   * @throws IllegalArgumentException if {@code mask} has another size than {@code ids}, or offsets
   *     fall or leave them
   */
  public static Targets nextToken(Longs ids, Longs offsets, Bytes mask) {
    Objects.requireNonNull(ids, "ids");
    Objects.requireNonNull(offsets, "offsets");
    long[] next = shifted(ids, mask);
    for (long end : Require.offsets("offsets", offsets.toArray(), ids.size())) {
      if (end > 0) {
        next[(int) (end - 1)] = IGNORE_INDEX;
      }
    }
    return of(Longs.copyOf(next));
  }

  private static long[] shifted(Longs ids, Bytes mask) {
    if (mask != null) {
      requireSize("mask", mask, ids.size());
    }
    long[] next = ids.toArray();
    byte[] learned = mask == null ? null : mask.toArray();
    for (int i = 0; i + 1 < next.length; i++) {
      next[i] = learned == null || learned[i + 1] != 0 ? next[i + 1] : IGNORE_INDEX;
    }
    return next;
  }

  private static void requireSize(String name, Values values, long size) {
    if (values.size() != size) {
      throw new IllegalArgumentException(
          name + ": has " + values.size() + " elements, " + size + " are needed");
    }
  }

  /**
   * Chooses the value that marks rows to skip.
   *
   * @param ignoreIndex the value
   * @return targets that skip it
   */
  public Targets withIgnoreIndex(long ignoreIndex) {
    return new Targets(ids, mask, ignoreIndex);
  }

  /**
   * Chooses the rows that count.
   *
   * @param mask one byte per row, 0 = skip the row
   * @return targets with that mask
   */
  public Targets withMask(Bytes mask) {
    return new Targets(ids, Objects.requireNonNull(mask, "mask"), ignoreIndex);
  }

  /**
   * The number of targets.
   *
   * @return rows
   */
  public long size() {
    return ids.size();
  }

  /**
   * The ids.
   *
   * @return {@link Longs} or {@link Ints}, one per row
   */
  public Values ids() {
    return ids;
  }

  /**
   * The mask.
   *
   * @return one byte per row, or null if there is none
   */
  public Bytes mask() {
    return mask;
  }

  /**
   * The value that marks rows to skip.
   *
   * @return the ignore index
   */
  public long ignoreIndex() {
    return ignoreIndex;
  }

  /**
   * Whether a row counts. Reads host memory; meant for counting and tests.
   *
   * @param row the row
   * @return false if its target is the ignore index or its mask byte 0
   * @throws IndexOutOfBoundsException if {@code row} is not in [0, size)
   */
  public boolean counts(long row) {
    long id = ids instanceof Longs longs ? longs.get(row) : ((Ints) ids).get(row);
    return id != ignoreIndex && (mask == null || mask.get(row) != 0);
  }

  /** Frees the ids if {@code nextToken} made them; a mask is never freed. */
  @Override
  public void close() {
    ids.close();
  }

  void write(NativeCall call, ByteBuffer struct, int at, long rows) {
    call.in("targets", ids, rows, at + TargetsStruct.DATA);
    call.in("mask", mask, rows, at + TargetsStruct.MASK);
    struct.putLong(at + TargetsStruct.IGNORE_INDEX, ignoreIndex);
    struct.putInt(at + TargetsStruct.DTYPE, ids.dtype().code());
  }
}
