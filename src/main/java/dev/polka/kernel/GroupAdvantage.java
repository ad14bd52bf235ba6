package dev.polka.kernel;

import dev.polka.kernel.internal.GroupAdvantageStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Values;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Group-relative advantages: each reward against the others of its prompt.
 *
 * <pre>{@code
 * GRPO      A_i = (R_i - mean) / (std + epsilon)
 * Dr. GRPO  A_i =  R_i - mean
 * RLOO      A_i =  R_i - mean of the others
 * }</pre>
 *
 * <p>Statistics are f64, in two passes. A NaN reward is excluded from them and gets advantage 0; an
 * infinite one is refused. A group whose finite rewards are all equal gets exactly 0. A group with
 * one finite reward follows {@link Singleton}, {@link Singleton#ZERO} unless chosen otherwise.
 *
 * <p>Sources: GRPO, Shao et al. 2024 (DeepSeekMath); Dr. GRPO, Liu et al. 2025; RLOO, Ahmadian et
 * al. 2024. verl's GRPO is {@code grpo().withSingleton(Singleton.RAW)}; TRL's is {@code
 * grpo().withEpsilon(1e-4, EpsilonPlacement.OUTSIDE)}.
 *
 * <p>Immutable and thread-safe.
 */
public final class GroupAdvantage {
  private final Baseline baseline;
  private final Std std;
  private final double epsilon;
  private final EpsilonPlacement placement;
  private final Singleton singleton;

  private GroupAdvantage(
      Baseline baseline, Std std, double epsilon, EpsilonPlacement placement, Singleton singleton) {
    this.baseline = Objects.requireNonNull(baseline, "baseline");
    this.std = Objects.requireNonNull(std, "std");
    this.epsilon = Require.notNegative("epsilon", epsilon);
    this.placement = Objects.requireNonNull(placement, "placement");
    this.singleton = Objects.requireNonNull(singleton, "singleton");
  }

  private static GroupAdvantage of(Baseline baseline, Std std) {
    return new GroupAdvantage(baseline, std, 1e-6, EpsilonPlacement.OUTSIDE, Singleton.ZERO);
  }

  /**
   * GRPO: centred by the mean, divided by the unbiased standard deviation plus 1e-6.
   *
   * @return the operation
   */
  public static GroupAdvantage grpo() {
    return of(Baseline.MEAN, Std.UNBIASED);
  }

  /**
   * Dr. GRPO: centred by the mean, not divided, since dividing favours prompts that are nearly
   * solved or nearly hopeless.
   *
   * @return the operation
   */
  public static GroupAdvantage drGrpo() {
    return of(Baseline.MEAN, Std.NONE);
  }

  /**
   * RLOO: centred by the mean of the other rewards, not divided; an unbiased baseline.
   *
   * @return the operation
   */
  public static GroupAdvantage rloo() {
    return of(Baseline.LEAVE_ONE_OUT, Std.NONE);
  }

  /**
   * Chooses the standard deviation.
   *
   * @param std what centred rewards are divided by
   * @return the operation with it
   */
  public GroupAdvantage withStd(Std std) {
    return new GroupAdvantage(baseline, std, epsilon, placement, singleton);
  }

  /**
   * Chooses the baseline.
   *
   * @param baseline what is subtracted from rewards
   * @return the operation with it
   */
  public GroupAdvantage withBaseline(Baseline baseline) {
    return new GroupAdvantage(baseline, std, epsilon, placement, singleton);
  }

  /**
   * Chooses the constant that keeps the division away from 0. Without meaning for {@link Std#NONE}.
   *
   * @param epsilon the constant; 1e-6 in verl, NeMo-RL and SkyRL, 1e-4 in TRL, 1e-9 in OpenRLHF
   * @param placement where it stands
   * @return the operation with it
   * @throws IllegalArgumentException if {@code epsilon} is negative or not finite
   */
  public GroupAdvantage withEpsilon(double epsilon, EpsilonPlacement placement) {
    return new GroupAdvantage(baseline, std, epsilon, placement, singleton);
  }

  /**
   * Chooses what a group with one finite reward gets.
   *
   * @param singleton the policy
   * @return the operation with it
   */
  public GroupAdvantage withSingleton(Singleton singleton) {
    return new GroupAdvantage(baseline, std, epsilon, placement, singleton);
  }

  /**
   * Computes advantages in f32.
   *
   * @param rewards one per sample, groups one after the other
   * @param groups where the groups are
   * @return one advantage per reward; close it
   * @throws IllegalArgumentException if the groups do not fit the rewards
   * @throws IndexOutOfBoundsException if offsets fall, a reward is infinite, or a group is a
   *     singleton and that was made an error
   */
  public Floats forward(Floats rewards, Groups groups) {
    return filled(Floats.allocate(rewards.placement(), rewards.size()), rewards, groups);
  }

  /**
   * Computes advantages in f64. Otherwise like {@link #forward(Floats, Groups)}.
   *
   * @param rewards one per sample, groups one after the other
   * @param groups where the groups are
   * @return one advantage per reward; close it
   * @throws IllegalArgumentException if the groups do not fit the rewards
   * @throws IndexOutOfBoundsException if offsets fall, a reward is infinite, or a group is a
   *     singleton and that was made an error
   */
  public Doubles forward(Doubles rewards, Groups groups) {
    return filled(Doubles.allocate(rewards.placement(), rewards.size()), rewards, groups);
  }

  private <T extends Values> T filled(T out, Values rewards, Groups groups) {
    try {
      run(rewards, groups, out, null, null, null, null);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Computes advantages, and statistics of each group, into memory that exists. Allocates nothing.
   *
   * @param rewards f32, one per sample, groups one after the other
   * @param groups where the groups are
   * @param out written: advantages, and the statistics it has room for
   * @throws IllegalArgumentException if groups, rewards and {@code out} do not fit each other
   * @throws IndexOutOfBoundsException if offsets fall, a reward is infinite, or a group is a
   *     singleton and that was made an error
   */
  public void forward(Floats rewards, Groups groups, GroupAdvantageResult out) {
    run(rewards, groups, out);
  }

  /**
   * Computes advantages, and statistics of each group, into memory that exists. Allocates nothing.
   *
   * @param rewards f64, one per sample, groups one after the other
   * @param groups where the groups are
   * @param out written: advantages, and the statistics it has room for
   * @throws IllegalArgumentException if groups, rewards and {@code out} do not fit each other
   * @throws IndexOutOfBoundsException if offsets fall, a reward is infinite, or a group is a
   *     singleton and that was made an error
   */
  public void forward(Doubles rewards, Groups groups, GroupAdvantageResult out) {
    run(rewards, groups, out);
  }

  private void run(Values rewards, Groups groups, GroupAdvantageResult out) {
    run(
        rewards,
        groups,
        out.advantages(),
        out.meanOrNull(),
        out.stdOrNull(),
        out.finiteCountOrNull(),
        out.zeroVarianceOrNull());
  }

  private void run(
      Values rewards,
      Groups groups,
      Values advantages,
      Doubles mean,
      Doubles deviation,
      Longs finiteCount,
      Values zeroVariance) {
    long count = rewards.size();
    long groupCount = groups.count(count);
    Longs offsets = groups.offsets(groupCount);
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(GroupAdvantageStruct.SIZE);
      call.in("rewards", rewards, count, GroupAdvantageStruct.REWARDS);
      call.inAtLeast("groups", offsets, groupCount + 1, GroupAdvantageStruct.GROUP_OFFSETS);
      call.out("advantages", advantages, count, GroupAdvantageStruct.ADVANTAGES);
      call.out("mean", mean, groupCount, GroupAdvantageStruct.MEAN);
      call.out("std", deviation, groupCount, GroupAdvantageStruct.STD);
      call.out("finiteCount", finiteCount, groupCount, GroupAdvantageStruct.FINITE_COUNT);
      call.out("zeroVariance", zeroVariance, groupCount, GroupAdvantageStruct.ZERO_VARIANCE);
      struct.putLong(GroupAdvantageStruct.COUNT, count);
      struct.putLong(GroupAdvantageStruct.GROUPS, groupCount);
      struct.putDouble(GroupAdvantageStruct.EPSILON, epsilon);
      struct.putInt(GroupAdvantageStruct.REWARD_DTYPE, rewards.dtype().code());
      struct.putInt(GroupAdvantageStruct.ADVANTAGE_DTYPE, advantages.dtype().code());
      struct.putInt(GroupAdvantageStruct.BASELINE, baseline.code());
      struct.putInt(GroupAdvantageStruct.SCALE, std.code());
      struct.putInt(GroupAdvantageStruct.EPSILON_PLACEMENT, placement.code());
      struct.putInt(GroupAdvantageStruct.SINGLETON, singleton.code());
      call.exec(0);
      int status = PolkaNative.polka_group_advantage(call.groupAdvantage());
      NativeStatus.check(status, rewards.device());
      call.completed();
    } finally {
      call.exit();
    }
  }
}
