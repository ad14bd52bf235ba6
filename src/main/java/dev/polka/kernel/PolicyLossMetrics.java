package dev.polka.kernel;

import dev.polka.kernel.internal.PolicyLossMetricsStruct;
import dev.polka.memory.Doubles;
import java.util.Arrays;

/**
 * The parts of a policy loss and what to watch in training. Sums, so that the metrics of
 * micro-batches add up ({@link #plus}); the fractions and means are taken from them.
 *
 * <p>Immutable and thread-safe.
 */
public final class PolicyLossMetrics {
  static final int FIELDS = PolicyLossMetricsStruct.SIZE / Double.BYTES;

  private final double[] fields;

  private PolicyLossMetrics(double[] fields) {
    this.fields = fields;
  }

  static PolicyLossMetrics read(Doubles struct) {
    return new PolicyLossMetrics(struct.toArray());
  }

  private double field(int offset) {
    return fields[offset / Double.BYTES];
  }

  /**
   * Adds the metrics of another micro-batch of the same step. {@code firstNonFiniteRow} is this
   * one's if it has one, else the other's, counted within its own micro-batch.
   *
   * @param other the metrics to add
   * @return the metrics of both together
   */
  public PolicyLossMetrics plus(PolicyLossMetrics other) {
    double[] sums = new double[FIELDS];
    Arrays.setAll(sums, i -> fields[i] + other.fields[i]);
    sums[PolicyLossMetricsStruct.RATIO_MIN / Double.BYTES] = Math.min(ratioMin(), other.ratioMin());
    sums[PolicyLossMetricsStruct.RATIO_MAX / Double.BYTES] = Math.max(ratioMax(), other.ratioMax());
    sums[PolicyLossMetricsStruct.FIRST_NON_FINITE_ROW / Double.BYTES] =
        firstNonFiniteRow() >= 0 ? firstNonFiniteRow() : other.firstNonFiniteRow();
    return new PolicyLossMetrics(sums);
  }

  /**
   * {@return the loss: {@code policyLoss + klCoefficient * klLoss - entropyBonus * entropyLoss +
   * likelihood * likelihoodLoss}}
   */
  public double loss() {
    return field(PolicyLossMetricsStruct.LOSS);
  }

  /** {@return the normalised, weighted sum of the surrogate and its anchor} */
  public double policyLoss() {
    return field(PolicyLossMetricsStruct.POLICY_LOSS);
  }

  /** {@return the normalised sum of the KL estimates, before its coefficient} */
  public double klLoss() {
    return field(PolicyLossMetricsStruct.KL_LOSS);
  }

  /** {@return the normalised sum of the entropies, before its coefficient} */
  public double entropyLoss() {
    return field(PolicyLossMetricsStruct.ENTROPY_LOSS);
  }

  /**
   * {@return the normalised sum of {@code -log_prob} in the likelihood term, before its
   * coefficient}
   */
  public double likelihoodLoss() {
    return field(PolicyLossMetricsStruct.NLL_LOSS);
  }

  /**
   * {@return the normalised, weighted sum of the pull towards the old policy, before its
   * coefficient: a part of the policy loss}
   */
  public double anchorLoss() {
    return field(PolicyLossMetricsStruct.ANCHOR_LOSS);
  }

  /** {@return how many tokens count} */
  public long tokens() {
    return (long) field(PolicyLossMetricsStruct.TOKENS);
  }

  /** {@return how many sequences have a token that counts} */
  public long sequences() {
    return (long) field(PolicyLossMetricsStruct.SEQUENCES);
  }

  /** {@return how many tokens a bound changes: clipped, dropped, or with a held log-ratio} */
  public double clippedSum() {
    return field(PolicyLossMetricsStruct.CLIPPED_SUM);
  }

  /**
   * {@return how many tokens the dual clip holds, or the bound of a {@link Surrogate.TrustRegion}}
   */
  public double dualClippedSum() {
    return field(PolicyLossMetricsStruct.DUAL_CLIPPED_SUM);
  }

  /** {@return how many tokens with {@code A < 0} are below the range, or dropped} */
  public double clipLowSum() {
    return field(PolicyLossMetricsStruct.CLIP_LOW_SUM);
  }

  /** {@return how many tokens with {@code A > 0} are above the range, or dropped} */
  public double clipHighSum() {
    return field(PolicyLossMetricsStruct.CLIP_HIGH_SUM);
  }

  /** {@return how many tokens are below the range, whatever A} */
  public double belowSum() {
    return field(PolicyLossMetricsStruct.BELOW_SUM);
  }

  /** {@return how many tokens are above the range, whatever A} */
  public double aboveSum() {
    return field(PolicyLossMetricsStruct.ABOVE_SUM);
  }

  /** {@return how many sequences have a token of {@link #clipLowSum}; 0 for token ratios} */
  public double clipLowSequences() {
    return field(PolicyLossMetricsStruct.CLIP_LOW_SEQUENCES);
  }

  /** {@return how many sequences have a token of {@link #clipHighSum}; 0 for token ratios} */
  public double clipHighSequences() {
    return field(PolicyLossMetricsStruct.CLIP_HIGH_SEQUENCES);
  }

  /** {@return how many tokens are under the entropy threshold} */
  public double lowEntropySum() {
    return field(PolicyLossMetricsStruct.LOW_ENTROPY_SUM);
  }

  /** {@return how many sequences have drifted beyond the off-policy mask} */
  public double offPolicySequences() {
    return field(PolicyLossMetricsStruct.OFF_POLICY_SEQUENCES);
  }

  /** {@return the sum of {@code old - log_prob}, clamped for a token ratio} */
  public double approxKlSum() {
    return field(PolicyLossMetricsStruct.APPROX_KL_SUM);
  }

  /** {@return the sum of {@code |old - log_prob|}, clamped for a token ratio} */
  public double absLogRatioSum() {
    return field(PolicyLossMetricsStruct.ABS_LOG_RATIO_SUM);
  }

  /** {@return the sum of {@code (old - log_prob)^2}, clamped for a token ratio} */
  public double squaredLogRatioSum() {
    return field(PolicyLossMetricsStruct.SQUARED_LOG_RATIO_SUM);
  }

  /** {@return the sum of the KL estimates to the reference} */
  public double klSum() {
    return field(PolicyLossMetricsStruct.KL_SUM);
  }

  /** {@return the sum of the entropies} */
  public double entropySum() {
    return field(PolicyLossMetricsStruct.ENTROPY_SUM);
  }

  /** {@return the sum of the ratios} */
  public double ratioSum() {
    return field(PolicyLossMetricsStruct.RATIO_SUM);
  }

  /** {@return the smallest ratio; infinity if no token counts} */
  public double ratioMin() {
    return field(PolicyLossMetricsStruct.RATIO_MIN);
  }

  /** {@return the largest ratio; minus infinity if no token counts} */
  public double ratioMax() {
    return field(PolicyLossMetricsStruct.RATIO_MAX);
  }

  /**
   * {@return the sum over sequences of their weight, for {@link Surrogate.GammaWeight} and {@link
   * Surrogate.Basic#GEOMETRIC_MEAN}}
   */
  public double sequenceWeightSum() {
    return field(PolicyLossMetricsStruct.SEQUENCE_WEIGHT_SUM);
  }

  /** {@return how many rows, not masked, are non-finite in the sense of {@link PolicyLoss}} */
  public long nonFiniteRows() {
    return (long) field(PolicyLossMetricsStruct.NON_FINITE_ROWS);
  }

  /** {@return the lowest of them, or -1} */
  public long firstNonFiniteRow() {
    return (long) field(PolicyLossMetricsStruct.FIRST_NON_FINITE_ROW);
  }

  /**
   * The share of tokens that a bound changes (verl {@code pg_clipfrac}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double clipFraction() {
    return perToken(clippedSum());
  }

  /**
   * The share of tokens held by the dual clip (verl {@code pg_clipfrac_lower}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double dualClipFraction() {
    return perToken(dualClippedSum());
  }

  /**
   * The share of tokens with negative advantage below the range (TRL {@code clip_ratio/low}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double clipFractionLow() {
    return perToken(clipLowSum());
  }

  /**
   * The share of tokens with positive advantage above the range (TRL {@code clip_ratio/high}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double clipFractionHigh() {
    return perToken(clipHighSum());
  }

  /**
   * The share of sequences with negative advantage below the range, for sequence ratios.
   *
   * @return in [0, 1]; 0 without sequences
   */
  public double sequenceClipFractionLow() {
    return perSequence(clipLowSequences());
  }

  /**
   * The share of sequences with positive advantage above the range, for sequence ratios.
   *
   * @return in [0, 1]; 0 without sequences
   */
  public double sequenceClipFractionHigh() {
    return perSequence(clipHighSequences());
  }

  /**
   * How far the policy has moved since the update began: the mean of {@code old - log_prob} (verl
   * {@code ppo_kl}).
   *
   * @return in nats per token; 0 without tokens
   */
  public double approxKl() {
    return perToken(approxKlSum());
  }

  /**
   * The mean KL estimate to the reference.
   *
   * @return in nats per token; 0 without tokens
   */
  public double kl() {
    return perToken(klSum());
  }

  /**
   * The mean entropy.
   *
   * @return in nats per token; 0 without tokens
   */
  public double entropy() {
    return perToken(entropySum());
  }

  /**
   * The mean ratio.
   *
   * @return the mean over tokens; 0 without tokens
   */
  public double ratioMean() {
    return perToken(ratioSum());
  }

  /**
   * The share of tokens below or above the range, whatever A (ROLL, SkyRL; verl's for CISPO).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double outOfRangeFraction() {
    return perToken(belowSum() + aboveSum());
  }

  /**
   * The share of tokens whose policy term the entropy threshold dropped.
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double lowEntropyFraction() {
    return perToken(lowEntropySum());
  }

  /**
   * The share of sequences beyond the off-policy mask (slime {@code opsm_clipfrac}).
   *
   * @return in [0, 1]; 0 without sequences
   */
  public double offPolicyFraction() {
    return perSequence(offPolicySequences());
  }

  /**
   * The mean weight of a sequence (TRL {@code vespo/phi_seq_mean}).
   *
   * @return the mean over sequences; 0 without sequences, or where the surrogate has no such weight
   */
  public double sequenceWeightMean() {
    return perSequence(sequenceWeightSum());
  }

  /**
   * The mean of {@code |old - log_prob|} (verl's {@code ppo_kl} for KL-Cov).
   *
   * @return in nats per token; 0 without tokens
   */
  public double absLogRatio() {
    return perToken(absLogRatioSum());
  }

  /**
   * Half the mean of {@code (old - log_prob)^2}, which is never negative (ROLL {@code approxkl},
   * tinker {@code kl_sample_train_v2}).
   *
   * @return in nats per token; 0 without tokens
   */
  public double squaredKl() {
    return perToken(squaredLogRatioSum()) / 2;
  }

  /**
   * The mean of {@code r - 1 - ln r}, for token ratios (prime-rl {@code mismatch_kl}).
   *
   * @return in nats per token; 0 without tokens
   */
  public double mismatchKl() {
    return tokens() == 0 ? 0 : ratioMean() - 1 + approxKl();
  }

  private double perToken(double sum) {
    return tokens() == 0 ? 0 : sum / tokens();
  }

  private double perSequence(double sum) {
    return sequences() == 0 ? 0 : sum / sequences();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof PolicyLossMetrics m && Arrays.equals(fields, m.fields);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(fields);
  }

  /** Loss, tokens, and the fractions that tell a healthy step from a sick one. */
  @Override
  public String toString() {
    return String.format(
        "loss %.6g, %d tokens in %d sequences, clipped %.4f, approx. KL %.4g, KL %.4g,"
            + " entropy %.4g, ratio %.4g [%.4g, %.4g], %d non-finite rows",
        loss(),
        tokens(),
        sequences(),
        clipFraction(),
        approxKl(),
        kl(),
        entropy(),
        ratioMean(),
        ratioMin(),
        ratioMax(),
        nonFiniteRows());
  }
}
