package dev.polka.policy;

import dev.polka.kernel.EpsilonPlacement;
import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.TokenLayout;
import java.util.Arrays;
import java.util.Objects;

/**
 * GDPO (Liu et al. 2026), for several rewards: each is normalised within its group by itself, so
 * that none drowns the others, then they are added up and the sum is whitened over the step.
 *
 * <pre>{@code
 * A_i = sum_k w_k (R_ik - mean_k) / (std_k + epsilon)
 * then whitened over the sequences of the step
 * }</pre>
 *
 * <p>Needs {@link RewardBatch#ofComponents}. A component that is NaN adds nothing for its sequence;
 * a sequence without any is left out. Peers differ in the last line: TRL ({@code
 * normalize_then_sum}) divides by the unbiased standard deviation over sequences plus 1e-4, which
 * is the default here; NeMo-RL has no epsilon and divides only where it is above 0; verl whitens
 * over tokens: {@code withoutWhitening().withWhitening(Whitening.unbiased())}, where the second is
 * that of {@link AdvantageEstimator}.
 *
 * <p>Immutable and thread-safe.
 */
public final class Gdpo implements AdvantageEstimator {
  private static final Whitening STANDARD_WHITENING =
      Whitening.unbiased().withEpsilon(1e-4, EpsilonPlacement.OUTSIDE);

  private final double[] weights;
  private final GroupAdvantage group;
  private final Whitening whitening; // over sequences; null: none
  private final Moments step; // null: of the batch

  private Gdpo(double[] weights, GroupAdvantage group, Whitening whitening, Moments step) {
    this.weights = weights;
    this.group = group;
    this.whitening = whitening;
    this.step = step;
  }

  /**
   * The estimator, with {@link GroupAdvantage#grpo} within groups.
   *
   * @param weights one per component, finite
   * @return the estimator
   * @throws IllegalArgumentException if there is no weight, or one is not finite
   */
  public static Gdpo of(double... weights) {
    if (weights.length == 0) {
      throw new IllegalArgumentException("weights: there are none, one per component is needed");
    }
    for (int k = 0; k < weights.length; k++) {
      Check.finite("weights[" + k + "]", weights[k]);
    }
    return new Gdpo(weights.clone(), GroupAdvantage.grpo(), STANDARD_WHITENING, null);
  }

  /**
   * Chooses how each component is normalised within its group.
   *
   * @param group how
   * @return the estimator with it
   */
  public Gdpo withGroup(GroupAdvantage group) {
    return new Gdpo(weights, Objects.requireNonNull(group, "group"), whitening, step);
  }

  /**
   * Chooses how the sums are whitened over sequences.
   *
   * @param whitening how; the batch must be the whole step
   * @return the estimator with it
   */
  public Gdpo withSequenceWhitening(Whitening whitening) {
    return new Gdpo(weights, group, Objects.requireNonNull(whitening, "whitening"), null);
  }

  /**
   * The same where the batch is a part of the step.
   *
   * @param whitening how
   * @param step moments of {@link #sums} of all parts, merged
   * @return the estimator with it
   */
  public Gdpo withSequenceWhitening(Whitening whitening, Moments step) {
    Objects.requireNonNull(whitening, "whitening");
    return new Gdpo(weights, group, whitening, Objects.requireNonNull(step, "step"));
  }

  /** {@return the estimator whose sums stay as they are} */
  public Gdpo withoutWhitening() {
    return new Gdpo(weights, group, null, null);
  }

  /**
   * The weighted sums, before whitening.
   *
   * @param batch several rewards and groups
   * @return one per sequence, NaN for one without any reward
   * @throws IllegalArgumentException if components or groups are missing, or there is not one
   *     weight per component
   * @throws IndexOutOfBoundsException if a group is a singleton where that was made an error
   */
  public double[] sums(RewardBatch batch) {
    double[][] components = batch.components();
    if (components.length != weights.length) {
      throw new IllegalArgumentException(
          "weights: are " + weights.length + " for " + components.length + " components");
    }
    double[] sums = new double[batch.sequences()];
    Arrays.fill(sums, Double.NaN);
    for (int k = 0; k < weights.length; k++) {
      double[] own = OutcomeAdvantage.compare(group, batch, components[k]);
      for (int b = 0; b < sums.length; b++) {
        if (!Double.isNaN(components[k][b])) {
          sums[b] = (Double.isNaN(sums[b]) ? 0 : sums[b]) + weights[k] * own[b];
        }
      }
    }
    return sums;
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    double[] sums = sums(batch);
    TokenLayout rewarded = RewardBatch.withoutNan(batch.layout(), sums);
    double[] advantages = whitening == null ? sums : whitening.overNumbers(sums, step);
    return new Advantages(rewarded, rewarded.spread(advantages), null);
  }
}
