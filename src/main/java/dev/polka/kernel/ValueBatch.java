package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import java.util.Objects;

/**
 * What {@link ValueLoss} needs beside the values: returns, and how tokens form sequences.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class ValueBatch {
  final Longs offsets;
  final Floats returns;
  final Floats old;
  final Bytes mask;

  private ValueBatch(Longs offsets, Floats returns, Floats old, Bytes mask) {
    this.offsets = offsets;
    this.returns = returns;
    this.old = old;
    this.mask = mask;
  }

  /**
   * Tokens with their returns.
   *
   * @param returns f32, one per token
   * @param offsets {@code [sequences + 1]} the first row of each sequence, from 0, and the number
   *     of rows
   * @return the batch
   * @throws IllegalArgumentException if there is not even one offset
   */
  public static ValueBatch of(Floats returns, Longs offsets) {
    Objects.requireNonNull(returns, "returns");
    if (offsets.size() < 1) {
      throw new IllegalArgumentException(
          "offsets: has no elements; even no sequences need the one offset 0");
    }
    return new ValueBatch(offsets, returns, null, null);
  }

  /**
   * Adds values at the start of the update, for the clip.
   *
   * @param old f32, one per token
   * @return the batch with them
   */
  public ValueBatch withOld(Floats old) {
    return new ValueBatch(offsets, returns, Objects.requireNonNull(old, "old"), mask);
  }

  /**
   * Skips tokens.
   *
   * @param mask one byte per token, 0 = skip
   * @return the batch with it
   */
  public ValueBatch withMask(Bytes mask) {
    return new ValueBatch(offsets, returns, old, Objects.requireNonNull(mask, "mask"));
  }
}
