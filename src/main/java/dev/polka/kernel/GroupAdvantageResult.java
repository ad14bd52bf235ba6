package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Placement;
import dev.polka.memory.Values;
import java.util.Objects;

/**
 * Advantages and the statistics of each group they were computed with. Made once, written by each
 * {@link GroupAdvantage#forward(Floats, Groups, GroupAdvantageResult)}.
 *
 * <p>Belongs to one thread at a time. Closing frees the parts that {@link #allocate} made.
 */
public final class GroupAdvantageResult implements AutoCloseable {
  private final Values advantages;
  private final Doubles mean;
  private final Doubles std;
  private final Longs finiteCount;
  private final Bytes zeroVariance;
  private final boolean ownsAdvantages;

  private GroupAdvantageResult(
      Values advantages, Placement placement, long groups, boolean ownsAdvantages) {
    this.advantages = Objects.requireNonNull(advantages, "advantages");
    this.ownsAdvantages = ownsAdvantages;
    boolean statistics = groups >= 0;
    this.mean = statistics ? Doubles.allocate(placement, groups) : null;
    this.std = statistics ? Doubles.allocate(placement, groups) : null;
    this.finiteCount = statistics ? Longs.allocate(placement, groups) : null;
    this.zeroVariance = statistics ? Bytes.allocate(placement, groups) : null;
  }

  /**
   * Room for advantages and statistics.
   *
   * @param placement where the rewards lie
   * @param dtype type of the advantages, {@link DType#F32} or {@link DType#F64}
   * @param rewards number of rewards
   * @param groups number of groups
   * @return a result that owns its memory; close it
   * @throws IllegalArgumentException if {@code dtype} is another or a size negative
   */
  public static GroupAdvantageResult allocate(
      Placement placement, DType dtype, long rewards, long groups) {
    if (groups < 0) {
      throw new IllegalArgumentException("groups: " + groups + " is negative");
    }
    Values advantages =
        switch (dtype) {
          case F32 -> Floats.allocate(placement, rewards);
          case F64 -> Doubles.allocate(placement, rewards);
          default ->
              throw new IllegalArgumentException(
                  "advantages: dtype " + dtype + " is not F32 or F64");
        };
    return new GroupAdvantageResult(advantages, placement, groups, true);
  }

  /**
   * Advantages alone, into memory that the caller has.
   *
   * @param advantages f32, one per reward
   * @return a result without statistics
   */
  public static GroupAdvantageResult of(Floats advantages) {
    return new GroupAdvantageResult(advantages, advantages.placement(), -1, false);
  }

  /**
   * Advantages alone, into memory that the caller has.
   *
   * @param advantages f64, one per reward
   * @return a result without statistics
   */
  public static GroupAdvantageResult of(Doubles advantages) {
    return new GroupAdvantageResult(advantages, advantages.placement(), -1, false);
  }

  /**
   * The advantages.
   *
   * @return {@link Floats} or {@link Doubles}, one per reward
   */
  public Values advantages() {
    return advantages;
  }

  /**
   * The mean of each group's finite rewards.
   *
   * @return one f64 per group, NaN where no reward is finite
   * @throws IllegalStateException if the result has no statistics
   */
  public Doubles mean() {
    return statistic(mean);
  }

  /**
   * The standard deviation of each group's finite rewards, as chosen; unbiased for {@link
   * Std#NONE}.
   *
   * @return one f64 per group
   * @throws IllegalStateException if the result has no statistics
   */
  public Doubles std() {
    return statistic(std);
  }

  /**
   * How many rewards of each group are finite.
   *
   * @return one int64 per group
   * @throws IllegalStateException if the result has no statistics
   */
  public Longs finiteCount() {
    return statistic(finiteCount);
  }

  /**
   * Which groups teach nothing: 1 where all finite rewards are equal, one or none included.
   *
   * @return one byte per group
   * @throws IllegalStateException if the result has no statistics
   */
  public Bytes zeroVariance() {
    return statistic(zeroVariance);
  }

  private static <T> T statistic(T values) {
    if (values == null) {
      throw new IllegalStateException(
          "GroupAdvantageResult: made for advantages alone; allocate() makes room for statistics");
    }
    return values;
  }

  Doubles meanOrNull() {
    return mean;
  }

  Doubles stdOrNull() {
    return std;
  }

  Longs finiteCountOrNull() {
    return finiteCount;
  }

  Bytes zeroVarianceOrNull() {
    return zeroVariance;
  }

  /** Frees the memory that {@link #allocate} made. */
  @Override
  public void close() {
    if (ownsAdvantages) {
      advantages.close();
    }
    if (mean != null) {
      mean.close();
      std.close();
      finiteCount.close();
      zeroVariance.close();
    }
  }
}
