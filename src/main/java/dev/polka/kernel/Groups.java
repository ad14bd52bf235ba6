package dev.polka.kernel;

import dev.polka.memory.Doubles;
import dev.polka.memory.Longs;
import java.util.Objects;

/**
 * How rewards fall into groups: all samples of one prompt, one after the other. Groups may be
 * ragged.
 *
 * <p>Immutable and thread-safe, apart from the memory that {@link #ofOffsets} and {@link
 * #withWeights} view.
 */
public final class Groups {
  private final long size; // 0: ragged
  private final Doubles weights; // null: none
  private volatile Longs offsets; // of at least as many groups as were ever asked for

  private Groups(long size, Longs offsets, Doubles weights) {
    this.size = size;
    this.offsets = offsets;
    this.weights = weights;
  }

  /**
   * Groups of equal size.
   *
   * @param size rewards per group, at least 1
   * @return the groups; their number follows from the rewards
   * @throws IllegalArgumentException if {@code size} is less than 1
   */
  public static Groups ofSize(long size) {
    if (size < 1) {
      throw new IllegalArgumentException("groups: size is " + size + ", not at least 1");
    }
    return new Groups(size, Longs.copyOf(0), null);
  }

  /**
   * Groups of any sizes. The contents are checked by each call.
   *
   * @param offsets {@code [groups + 1]} where each group starts, from 0, and the number of rewards
   * @return the groups
   * @throws IllegalArgumentException if there is not even one offset
   */
  public static Groups ofOffsets(Longs offsets) {
    Objects.requireNonNull(offsets, "offsets");
    if (offsets.size() < 1) {
      throw new IllegalArgumentException(
          "groups: no offsets; even no groups need the one offset 0");
    }
    return new Groups(0, offsets, null);
  }

  /**
   * Adds a weight for each reward, for {@link Baseline#WEIGHTED_MEAN} and {@link
   * Baseline#SOFT_MEAN}. They are read by each call.
   *
   * @param weights f64, one per reward, finite and at least 0, such as the lengths of the answers
   * @return the same groups with them
   */
  public Groups withWeights(Doubles weights) {
    return new Groups(size, offsets, Objects.requireNonNull(weights, "weights"));
  }

  /**
   * The number of groups that so many rewards form.
   *
   * @param rewards the number of rewards
   * @return the number of groups
   * @throws IllegalArgumentException if groups of equal size do not divide the rewards
   */
  public long count(long rewards) {
    if (size == 0) {
      return offsets.size() - 1;
    }
    if (rewards % size != 0) {
      throw new IllegalArgumentException(
          "groups: " + rewards + " rewards do not divide into groups of " + size);
    }
    return rewards / size;
  }

  /** {@return whether there are weights} */
  public boolean weighted() {
    return weights != null;
  }

  /**
   * The first reward of each group, and the number of rewards: a copy of the offsets.
   *
   * @param rewards the number of rewards
   * @return one more than there are groups
   * @throws IllegalArgumentException if groups of equal size do not divide the rewards, or offsets
   *     do not lead from 0 to their number without falling
   */
  public long[] starts(long rewards) {
    int count = Math.toIntExact(count(rewards));
    long[] starts = new long[count + 1];
    Longs known = offsets(count);
    for (int g = 0; g <= count; g++) {
      starts[g] = known.get(g);
    }
    if (starts[0] != 0 || starts[count] != rewards) {
      throw new IllegalArgumentException(
          "groups: lead from " + starts[0] + " to " + starts[count] + ", not from 0 to " + rewards);
    }
    for (int g = 0; g < count; g++) {
      if (starts[g + 1] < starts[g]) {
        throw new IllegalArgumentException(
            "groups: entry " + (g + 1) + " falls from " + starts[g] + " to " + starts[g + 1]);
      }
    }
    return starts;
  }

  Doubles weights() {
    return weights;
  }

  /** The offsets, of {@code count} groups or more: those of equal groups are a prefix of any. */
  Longs offsets(long count) {
    Longs known = offsets;
    if (size == 0 || known.size() > count) {
      return known;
    }
    long[] starts = new long[Require.arraySize("groups", count) + 1];
    for (int g = 0; g <= count; g++) {
      starts[g] = g * size; // At most the number of rewards.
    }
    // Two threads may both get here; either result serves, the other is freed as garbage.
    known = Longs.copyOf(starts);
    offsets = known;
    return known;
  }
}
