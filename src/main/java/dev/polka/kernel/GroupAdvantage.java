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
 * Group-relative advantages: each reward against the others of its prompt. With b the {@link
 * Baseline} and s what is divided by,
 *
 * <pre>{@code A_i = (R_i - b_i) / (s_i + epsilon)}</pre>
 *
 * <table>
 * <caption>Estimators</caption>
 * <tr><th>name</th><th>b</th><th>s</th></tr>
 * <tr><td>{@link #grpo}</td><td>mean</td><td>standard deviation</td></tr>
 * <tr><td>{@link #grpoLeaveOneOut}</td><td>mean of the others</td><td>theirs</td></tr>
 * <tr><td>{@link #drGrpo}</td><td>mean</td><td>-</td></tr>
 * <tr><td>{@link #rloo}</td><td>mean of the others</td><td>-</td></tr>
 * <tr><td>{@link #opo}</td><td>mean weighted by length</td><td>-</td></tr>
 * <tr><td>{@link #maxRl}</td><td>mean</td><td>mean</td></tr>
 * <tr><td>{@link #passAtK}</td><td>the second best, for the best</td><td>standard deviation</td></tr>
 * <tr><td>{@link #softMean}</td><td>{@code ln(mean exp(beta R)) / beta}</td><td>-</td></tr>
 * </table>
 *
 * <p>Statistics are f64, in two passes. A NaN reward is excluded from them and gets advantage 0;
 * one outside [-1e301, 1e301], infinite or not, is refused, since the sums of a group have to be
 * finite. A group whose finite rewards are all equal gets exactly 0. A group with one finite reward
 * follows {@link Singleton}, {@link Singleton#ZERO} unless chosen otherwise.
 *
 * <p>verl's GRPO is {@code grpo().withSingleton(Singleton.RAW)}; TRL's is {@code
 * grpo().withEpsilon(1e-4, EpsilonPlacement.OUTSIDE)}. Both compute in f32, where equal rewards
 * need not give 0.
 *
 * <p>Immutable and thread-safe.
 */
public final class GroupAdvantage {
  private static final double DEFAULT_EPSILON = 1e-6;

  private final Baseline baseline;
  private final double softBeta;
  private final Scale scale;
  private final double epsilon;
  private final EpsilonPlacement placement;
  private final Singleton singleton;

  private GroupAdvantage(
      Baseline baseline,
      double softBeta,
      Scale scale,
      double epsilon,
      EpsilonPlacement placement,
      Singleton singleton) {
    this.baseline = Objects.requireNonNull(baseline, "baseline");
    this.softBeta = softBeta;
    this.scale = scale;
    this.epsilon = Require.notNegative("epsilon", epsilon);
    this.placement = Objects.requireNonNull(placement, "placement");
    this.singleton = Objects.requireNonNull(singleton, "singleton");
  }

  private static GroupAdvantage of(Baseline baseline, Scale scale) {
    return new GroupAdvantage(
        baseline, 1, scale, DEFAULT_EPSILON, EpsilonPlacement.OUTSIDE, Singleton.ZERO);
  }

  /**
   * GRPO: centred by the mean, divided by the unbiased standard deviation plus 1e-6 (Shao et al.
   * 2024, DeepSeekMath). Epsilon is 1e-4 in TRL, 1e-5 in AReaL, 1e-9 in OpenRLHF ({@code
   * group_norm}).
   *
   * @return the operation
   */
  public static GroupAdvantage grpo() {
    return of(Baseline.MEAN, Scale.of(Std.UNBIASED));
  }

  /**
   * GRPO with leave-one-out statistics: mean and standard deviation of the other rewards (NeMo-RL
   * {@code use_leave_one_out_baseline}). See {@link Std#LEAVE_ONE_OUT}.
   *
   * @return the operation
   */
  public static GroupAdvantage grpoLeaveOneOut() {
    return of(Baseline.LEAVE_ONE_OUT, Scale.of(Std.LEAVE_ONE_OUT));
  }

  /**
   * Dr. GRPO: centred by the mean, not divided, since dividing favours prompts that are nearly
   * solved or nearly hopeless (Liu et al. 2025). Also the GRPO of prime-rl and tinker; verl {@code
   * norm_adv_by_std_in_grpo=False}, TRL {@code scale_rewards="none"}.
   *
   * @return the operation
   */
  public static GroupAdvantage drGrpo() {
    return of(Baseline.MEAN, Scale.of(Std.NONE));
  }

  /**
   * RLOO: centred by the mean of the other rewards, not divided; an unbiased baseline (Ahmadian et
   * al. 2024). A singleton keeps its raw reward in verl, not in its vectorised form nor in TRL.
   *
   * @return the operation
   */
  public static GroupAdvantage rloo() {
    return of(Baseline.LEAVE_ONE_OUT, Scale.of(Std.NONE));
  }

  /**
   * OPO: centred by the mean weighted by length, not divided (Hao et al. 2025, "On-policy RL with
   * optimal reward baseline"). Needs {@link Groups#withWeights}. A singleton keeps its raw reward
   * in verl.
   *
   * @return the operation
   */
  public static GroupAdvantage opo() {
    return of(Baseline.WEIGHTED_MEAN, Scale.of(Std.NONE));
  }

  /**
   * MaxRL: centred by the mean and divided by it, so that a prompt weighs by the inverse of its
   * success rate, which ascends the likelihood of success. A group whose mean is not above 0 gets 0
   * (prime-rl {@code max_rl}). Epsilon is 0; SkyRL adds 1e-6 and divides by negative means too.
   *
   * @return the operation
   */
  public static GroupAdvantage maxRl() {
    return of(Baseline.MEAN, Scale.groupMean()).withEpsilon(0, EpsilonPlacement.OUTSIDE);
  }

  /**
   * Pass@k: the best answer of the group alone is rewarded, by its lead over the second best, over
   * the unbiased standard deviation plus 1e-6 (Tang et al. 2025, "Optimizing language models for
   * inference time objectives"; verl {@code grpo_passk}, which refuses singletons: {@link
   * Singleton#ERROR}). A tie for the best gives 0.
   *
   * @return the operation
   */
  public static GroupAdvantage passAtK() {
    return of(Baseline.RUNNER_UP, Scale.of(Std.UNBIASED));
  }

  /**
   * Centred by the soft mean {@code ln(mean_j exp(beta R_j)) / beta}, not divided. SPPO takes it
   * over the whole batch, A2PO over the group with beta 2 (its {@code beta1} of 0.5 inverted).
   *
   * @param beta how much better answers count; finite, not 0
   * @return the operation
   * @throws IllegalArgumentException if {@code beta} is 0 or not finite
   */
  public static GroupAdvantage softMean(double beta) {
    if (Require.finite("beta", beta) == 0) {
      throw new IllegalArgumentException("beta: is 0; the limit there is drGrpo()");
    }
    return new GroupAdvantage(
        Baseline.SOFT_MEAN,
        beta,
        Scale.of(Std.NONE),
        DEFAULT_EPSILON,
        EpsilonPlacement.OUTSIDE,
        Singleton.ZERO);
  }

  /**
   * Chooses the standard deviation of the group that is divided by.
   *
   * @param std what centred rewards are divided by
   * @return the operation with it
   */
  public GroupAdvantage withStd(Std std) {
    return with(Scale.of(std));
  }

  /**
   * Divides by one number in place of a standard deviation of the group: that of all rewards of the
   * step, as in TRL's {@code scale_rewards="batch"} and AReaL's batch level. An input, since a step
   * may be spread over several calls and processes.
   *
   * @param std the number, finite and at least 0
   * @return the operation with it
   * @throws IllegalArgumentException if {@code std} is negative or not finite
   */
  public GroupAdvantage withBatchStd(double std) {
    return with(Scale.given("std", std));
  }

  private GroupAdvantage with(Scale other) {
    return new GroupAdvantage(baseline, softBeta, other, epsilon, placement, singleton);
  }

  /**
   * Chooses the baseline. {@link Baseline#SOFT_MEAN} has the beta of {@link #softMean}, or 1.
   *
   * @param baseline what is subtracted from rewards
   * @return the operation with it
   */
  public GroupAdvantage withBaseline(Baseline baseline) {
    return new GroupAdvantage(baseline, softBeta, scale, epsilon, placement, singleton);
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
    return new GroupAdvantage(baseline, softBeta, scale, epsilon, placement, singleton);
  }

  /**
   * Chooses what a group with one finite reward gets.
   *
   * @param singleton the policy
   * @return the operation with it
   */
  public GroupAdvantage withSingleton(Singleton singleton) {
    return new GroupAdvantage(baseline, softBeta, scale, epsilon, placement, singleton);
  }

  /** {@return what is subtracted from rewards} */
  public Baseline baseline() {
    return baseline;
  }

  /**
   * Computes advantages in f32.
   *
   * @param rewards one per sample, groups one after the other
   * @param groups where the groups are
   * @return one advantage per reward; close it
   * @throws IllegalArgumentException if the groups do not fit the rewards, a reward is outside
   *     [-1e301, 1e301], or a group is a singleton and that was made an error
   */
  public Floats forward(Floats rewards, Groups groups) {
    Objects.requireNonNull(rewards, "rewards");
    return filled(Floats.allocate(rewards.placement(), rewards.size()), rewards, groups);
  }

  /**
   * Computes advantages in f64. Otherwise like {@link #forward(Floats, Groups)}.
   *
   * @param rewards one per sample, groups one after the other
   * @param groups where the groups are
   * @return one advantage per reward; close it
   * @throws IllegalArgumentException if the groups do not fit the rewards, a reward is outside
   *     [-1e301, 1e301], or a group is a singleton and that was made an error
   */
  public Doubles forward(Doubles rewards, Groups groups) {
    Objects.requireNonNull(rewards, "rewards");
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
   * @throws IllegalArgumentException if groups, rewards and {@code out} do not fit each other, a
   *     reward is outside [-1e301, 1e301], or a group is a singleton and that was made an error
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
   * @throws IllegalArgumentException if groups, rewards and {@code out} do not fit each other, a
   *     reward is outside [-1e301, 1e301], or a group is a singleton and that was made an error
   */
  public void forward(Doubles rewards, Groups groups, GroupAdvantageResult out) {
    run(rewards, groups, out);
  }

  private void run(Values rewards, Groups groups, GroupAdvantageResult out) {
    Objects.requireNonNull(out, "out");
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
    Objects.requireNonNull(rewards, "rewards");
    Objects.requireNonNull(groups, "groups");
    long count = rewards.size();
    long groupCount = groups.count(count);
    Longs offsets = groups.offsets(groupCount);
    Doubles weights = weights(groups);
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(GroupAdvantageStruct.SIZE);
      call.in("rewards", rewards, count, GroupAdvantageStruct.REWARDS);
      call.inAtLeast("groups", offsets, groupCount + 1, GroupAdvantageStruct.GROUP_OFFSETS);
      call.in("weights", weights, count, GroupAdvantageStruct.WEIGHTS);
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
      struct.putInt(GroupAdvantageStruct.SCALE, scale.code());
      struct.putInt(GroupAdvantageStruct.EPSILON_PLACEMENT, placement.code());
      struct.putInt(GroupAdvantageStruct.SINGLETON, singleton.code());
      struct.putDouble(GroupAdvantageStruct.SOFT_BETA, softBeta);
      struct.putDouble(GroupAdvantageStruct.GIVEN_SCALE, scale.given());
      call.exec(0);
      int status = PolkaNative.polka_group_advantage(call.groupAdvantage());
      NativeStatus.check(status, rewards.device());
      call.completed();
    } finally {
      call.exit();
    }
  }

  private Doubles weights(Groups groups) {
    boolean weighted = baseline == Baseline.WEIGHTED_MEAN;
    if (weighted && groups.weights() == null) {
      throw new IllegalArgumentException(
          "groups: have no weights, which a weighted mean needs; Groups.withWeights adds them");
    }
    return weighted || baseline == Baseline.SOFT_MEAN ? groups.weights() : null;
  }
}
