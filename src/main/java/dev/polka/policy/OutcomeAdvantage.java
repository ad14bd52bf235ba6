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
  private final Moments outcomes; // null: of the batch
  private final Whitening whitening; // over sequences; null: none
  private final Moments advantages; // to whiten by; null: of the batch

  private OutcomeAdvantage(
      GroupAdvantage group,
      boolean byBatchStd,
      Moments outcomes,
      Whitening whitening,
      Moments advantages) {
    this.group = group;
    this.byBatchStd = byBatchStd;
    this.outcomes = outcomes;
    this.whitening = whitening;
    this.advantages = advantages;
  }

  /**
   * Compares within groups.
   *
   * @param group how
   * @return the estimator
   */
  public static OutcomeAdvantage of(GroupAdvantage group) {
    return new OutcomeAdvantage(Objects.requireNonNull(group, "group"), false, null, null, null);
  }

  /**
   * The outcome itself, without any baseline: REINFORCE (NeMo-RL {@code RawReward}, there
   * optionally with biased whitening). Needs no groups.
   *
   * @return the estimator
   */
  public static OutcomeAdvantage raw() {
    return new OutcomeAdvantage(null, false, null, null, null);
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

  private OutcomeAdvantage byBatchStd(Moments ofOutcomes) {
    if (group == null) {
      throw new IllegalStateException(
          "OutcomeAdvantage: raw outcomes are not divided; whiten them");
    }
    return new OutcomeAdvantage(group, true, ofOutcomes, whitening, advantages);
  }

  /**
   * Whitens the advantages over the sequences of the batch, which must be the whole step, each
   * counted once however long. TRL RLOO ({@code normalize_advantages}, off unless set) has {@code
   * unbiased()} with epsilon 1e-4 outside; {@code raw()} with {@code biased()} and a floor is
   * NeMo-RL's whitened raw reward, and AReaL's normalisation at the level of the batch.
   *
   * @param whitening how
   * @return the estimator with it
   */
  public OutcomeAdvantage withSequenceWhitening(Whitening whitening) {
    Objects.requireNonNull(whitening, "whitening");
    return new OutcomeAdvantage(group, byBatchStd, outcomes, whitening, null);
  }

  /**
   * The same where the batch is a part of the step.
   *
   * @param whitening how
   * @param step moments of the advantages of all parts before this, {@code
   *     Moments.of(perSequence(batch))}, merged
   * @return the estimator with it
   */
  public OutcomeAdvantage withSequenceWhitening(Whitening whitening, Moments step) {
    Objects.requireNonNull(whitening, "whitening");
    Objects.requireNonNull(step, "step");
    return new OutcomeAdvantage(group, byBatchStd, outcomes, whitening, step);
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
    double[] rewards = batch.outcomes();
    double[] compared =
        group == null ? rewards.clone() : compare(operation(rewards), batch, rewards);
    for (int b = 0; b < compared.length; b++) {
      compared[b] = Double.isNaN(rewards[b]) ? Double.NaN : compared[b];
    }
    double[] white = whitening == null ? compared : whitening.overNumbers(compared, advantages);
    return Arrays.stream(white).map(a -> Double.isNaN(a) ? 0 : a).toArray();
  }

  private GroupAdvantage operation(double[] rewards) {
    if (!byBatchStd) {
      return group;
    }
    Moments moments = outcomes == null ? Moments.of(rewards) : outcomes;
    return group.withBatchStd(Math.sqrt(moments.unbiasedVariance()));
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
