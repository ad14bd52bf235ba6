package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Longs;
import java.util.Objects;

/**
 * How tokens fall into segments, one after the other: sequences, or the steps of one.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class Segments {
  private final Longs offsets;
  private final Bytes mask;

  private Segments(Longs offsets, Bytes mask) {
    this.offsets = Objects.requireNonNull(offsets, "offsets");
    this.mask = mask;
    if (offsets.size() < 1) {
      throw new IllegalArgumentException(
          "offsets: there are none; even no segments need the one offset 0");
    }
  }

  /**
   * Segments of all their tokens.
   *
   * @param offsets {@code [segments + 1]} where each segment starts, from 0, and the number of
   *     tokens; the contents are checked by each call
   * @return the segments
   * @throws IllegalArgumentException if there is not even one offset
   */
  public static Segments of(Longs offsets) {
    return new Segments(offsets, null);
  }

  /**
   * Leaves out tokens: they are not read, and get 0 where something is spread over tokens.
   *
   * @param mask one byte per token, 0 = leave out
   * @return the segments with it
   */
  public Segments withMask(Bytes mask) {
    return new Segments(offsets, Objects.requireNonNull(mask, "mask"));
  }

  /** {@return the number of segments} */
  public long count() {
    return offsets.size() - 1;
  }

  Longs offsets() {
    return offsets;
  }

  Bytes mask() {
    return mask;
  }
}
