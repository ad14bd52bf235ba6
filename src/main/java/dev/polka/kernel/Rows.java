package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import java.util.Objects;

/**
 * Which rows of a matrix count, and how much. A masked row is skipped: its outputs are 0, its
 * gradient row is written as zeros and its logits are not read.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class Rows {
  private static final Rows ALL = new Rows(null, null);

  private final Bytes mask;
  private final Floats weight;

  private Rows(Bytes mask, Floats weight) {
    this.mask = mask;
    this.weight = weight;
  }

  /**
   * All rows, each with weight 1.
   *
   * @return the rows
   */
  public static Rows all() {
    return ALL;
  }

  /**
   * Skips rows.
   *
   * @param mask one byte per row, 0 = skip
   * @return rows with that mask
   */
  public Rows withMask(Bytes mask) {
    return new Rows(Objects.requireNonNull(mask, "mask"), weight);
  }

  /**
   * Weighs rows.
   *
   * @param weight one f32 per row, which multiplies its term of the loss
   * @return rows with these weights
   */
  public Rows withWeight(Floats weight) {
    return new Rows(mask, Objects.requireNonNull(weight, "weight"));
  }

  /** {@return one byte per row, 0 = skip, or null} */
  public Bytes mask() {
    return mask;
  }

  /** {@return one weight per row, or null} */
  public Floats weight() {
    return weight;
  }

  void write(NativeCall call, long rows, int maskAt, int weightAt) {
    call.in("mask", mask, rows, maskAt);
    call.in("weight", weight, rows, weightAt);
  }
}
