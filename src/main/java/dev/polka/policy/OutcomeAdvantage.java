package dev.polka.policy;

import dev.polka.kernel.Baseline;
import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.memory.Doubles;
import java.util.Arrays;
import java.util.Objects;

/**
 * One advantage per sequence, from its outcome against those of its group, for all its tokens:
 *
 * <pre>{@code A_t = A_i for every token t of sequence i that counts}</pre>
 *
 * <p>What A_i is, the {@link GroupAdvantage} says: {@code
 * OutcomeAdvantage.of(GroupAdvantage.grpo())}. {@link GroupAdvantage#opo} weighs each sequence by
 * its tokens that count, unless the groups have weights of their own. A group needs to be whole.
 *
 * <p>Immutable and thread-safe.
 */
public final class OutcomeAdvantage implements AdvantageEstimator {
  private final GroupAdvantage group; // null: the outcome itself
  private final boolean byBatchStd;
  private final Moments step; // null: of the batch

  private OutcomeAdvantage(GroupAdvantage group, boolean byBatchStd, Moments step) {
    this.group = group;
    this.byBatchStd = byBatchStd;
    this.step = step;
  }

  /**
   * Compares within groups.
   *
   * @param group how
   * @return the estimator
   */
  public static OutcomeAdvantage of(GroupAdvantage group) {
    return new OutcomeAdvantage(Objects.requireNonNull(group, "group"), false, null);
  }

  /**
   * The outcome itself, without any baseline: REINFORCE (NeMo-RL {@code RawReward}, there
   * optionally with biased whitening). Needs no groups.
   *
   * @return the estimator
   */
  public static OutcomeAdvantage raw() {
    return new OutcomeAdvantage(null, false, null);
  }

  /**
   * Divides by the unbiased standard deviation of all outcomes of the batch, which must be the
   * whole step, in place of that of each group: {@code (R_i - b_i) / (std + epsilon)}. TRL {@code
   * scale_rewards="batch"} (Liu et al. 2025, "Tricks or traps?"), with epsilon 1e-4.
   *
   * @return the estimator with it
   * @throws IllegalStateException if there is no group estimator whose standard deviation this
   *     could replace
   */
  public OutcomeAdvantage withBatchStd() {
    return byBatchStd(null);
  }

  /**
   * The same where the batch is a part of the step.
   *
   * @param outcomes moments of the outcomes of all parts, {@code Moments.of(batch.outcomes())},
   *     merged
   * @return the estimator with it
   * @throws IllegalStateException if there is no group estimator whose standard deviation this
   *     could replace
   */
  public OutcomeAdvantage withBatchStd(Moments outcomes) {
    return byBatchStd(Objects.requireNonNull(outcomes, "outcomes"));
  }

  private OutcomeAdvantage byBatchStd(Moments outcomes) {
    if (group == null) {
      throw new IllegalStateException(
          "OutcomeAdvantage: raw outcomes are not divided; whiten them");
    }
    return new OutcomeAdvantage(group, true, outcomes);
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    double[] perSequence = perSequence(batch);
    return new Advantages(batch.rewarded(), batch.layout().spread(perSequence), null);
  }

  /**
   * The advantages of the sequences, before they are spread over tokens.
   *
   * @param batch rewards and, unless the outcome itself is taken, groups
   * @return one per sequence; 0 without a reward
   * @throws IllegalArgumentException if groups are needed and missing, or do not fit
   * @throws IndexOutOfBoundsException if a group is a singleton where that was made an error
   */
  public double[] perSequence(RewardBatch batch) {
    double[] outcomes = batch.outcomes();
    if (group == null) {
      return Arrays.stream(outcomes).map(r -> Double.isNaN(r) ? 0 : r).toArray();
    }
    GroupAdvantage operation = group;
    if (byBatchStd) {
      Moments moments = step == null ? Moments.of(outcomes) : step;
      operation = group.withBatchStd(Math.sqrt(moments.unbiasedVariance()));
    }
    return compare(operation, batch, outcomes);
  }

  /** Runs a group operation over numbers of sequences. */
  static double[] compare(GroupAdvantage operation, RewardBatch batch, double[] rewards) {
    double[] lengths = Arrays.stream(batch.layout().tokenCounts()).mapToDouble(n -> n).toArray();
    Groups groups = batch.groups();
    boolean byLength = operation.baseline() == Baseline.WEIGHTED_MEAN && !groups.weighted();
    try (Doubles in = Doubles.copyOf(rewards);
        Doubles weights = Doubles.copyOf(lengths);
        Doubles out = operation.forward(in, byLength ? groups.withWeights(weights) : groups)) {
      return out.toArray();
    }
  }
}
