package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.TopkDivergenceStruct;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import dev.polka.memory.Values;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * A teacher known by K columns of each row and their log-probs, at the temperature at which it is
 * to be matched. In a row no column may come twice; the order within a row is free. A log-prob of
 * -inf is a probability of 0.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class TopkTeacher {
  /** The most entries of a row. */
  public static final int MAX_ENTRIES = 512;

  private final Values ids;
  private final Floats logProb;
  private final int entries;

  private TopkTeacher(Values ids, Floats logProb, int entries) {
    if (entries < 1 || entries > MAX_ENTRIES) {
      throw new IllegalArgumentException(
          "entries: " + entries + " is not between 1 and " + MAX_ENTRIES);
    }
    this.ids = Objects.requireNonNull(ids, "ids");
    this.logProb = Objects.requireNonNull(logProb, "logProb");
    this.entries = entries;
  }

  /**
   * A teacher by int64 columns.
   *
   * @param ids {@code [rows, entries]} columns of the vocabulary; a view that calls read
   * @param logProb {@code [rows, entries]} their log-probs
   * @param entries K
   * @return the teacher
   * @throws IllegalArgumentException if {@code entries} is not between 1 and {@link #MAX_ENTRIES}
   */
  public static TopkTeacher of(Longs ids, Floats logProb, int entries) {
    return new TopkTeacher(ids, logProb, entries);
  }

  /**
   * A teacher by int32 columns.
   *
   * @param ids {@code [rows, entries]} columns of the vocabulary; a view that calls read
   * @param logProb {@code [rows, entries]} their log-probs
   * @param entries K
   * @return the teacher
   * @throws IllegalArgumentException if {@code entries} is not between 1 and {@link #MAX_ENTRIES}
   */
  public static TopkTeacher of(Ints ids, Floats logProb, int entries) {
    return new TopkTeacher(ids, logProb, entries);
  }

  void write(NativeCall call, ByteBuffer struct, long rows) {
    long count = Math.multiplyExact(rows, (long) entries);
    call.in("ids", ids, count, TopkDivergenceStruct.TEACHER_IDS);
    call.in("logProb", logProb, count, TopkDivergenceStruct.TEACHER_LOG_PROB);
    struct.putLong(TopkDivergenceStruct.ENTRIES, entries);
    struct.putInt(
        TopkDivergenceStruct.IDS_DTYPE, (ids instanceof Longs ? DType.I64 : DType.I32).code());
  }
}
