package dev.polka.kernel;

import dev.polka.kernel.internal.PolicyLossMetricsStruct;
import dev.polka.memory.Doubles;

/**
 * The parts of a policy loss and what to watch in training. Sums, so that the metrics of
 * micro-batches add up ({@link #plus}); the fractions and means are taken from them.
 *
 * @param loss {@code policyLoss + klCoefficient * klLoss - entropyBonus * entropyLoss}
 * @param policyLoss the normalised sum of the clipped objective
 * @param klLoss the normalised sum of the KL estimates, before its coefficient
 * @param entropyLoss the normalised sum of the entropies, before its coefficient
 * @param tokens tokens that count
 * @param sequences sequences with a token that counts
 * @param clippedSum tokens where the clipped branch is strictly larger
 * @param dualClippedSum tokens with negative advantage held by the dual clip
 * @param clipLowSum tokens with {@code r < 1 - low} and negative advantage
 * @param clipHighSum tokens with {@code r > 1 + high} and positive advantage
 * @param clipLowSequences sequences with such a token, for sequence ratios
 * @param clipHighSequences sequences with such a token, for sequence ratios
 * @param approxKlSum sum of {@code old - log_prob}, clamped for a token ratio
 * @param klSum sum of the KL estimates to the reference
 * @param entropySum sum of the entropies
 * @param ratioSum sum of the ratios
 * @param ratioMin the smallest ratio; infinity if no token counts
 * @param ratioMax the largest ratio; minus infinity if no token counts
 * @param nonFiniteRows rows, not masked, that are non-finite in the sense of {@link PolicyLoss}
 * @param firstNonFiniteRow the lowest of them, or -1
 */
public record PolicyLossMetrics(
    double loss,
    double policyLoss,
    double klLoss,
    double entropyLoss,
    long tokens,
    long sequences,
    double clippedSum,
    double dualClippedSum,
    double clipLowSum,
    double clipHighSum,
    double clipLowSequences,
    double clipHighSequences,
    double approxKlSum,
    double klSum,
    double entropySum,
    double ratioSum,
    double ratioMin,
    double ratioMax,
    long nonFiniteRows,
    long firstNonFiniteRow) {
  static final int FIELDS = PolicyLossMetricsStruct.SIZE / Double.BYTES;

  static PolicyLossMetrics read(Doubles struct) {
    return new PolicyLossMetrics(
        field(struct, PolicyLossMetricsStruct.LOSS),
        field(struct, PolicyLossMetricsStruct.POLICY_LOSS),
        field(struct, PolicyLossMetricsStruct.KL_LOSS),
        field(struct, PolicyLossMetricsStruct.ENTROPY_LOSS),
        (long) field(struct, PolicyLossMetricsStruct.TOKENS),
        (long) field(struct, PolicyLossMetricsStruct.SEQUENCES),
        field(struct, PolicyLossMetricsStruct.CLIPPED_SUM),
        field(struct, PolicyLossMetricsStruct.DUAL_CLIPPED_SUM),
        field(struct, PolicyLossMetricsStruct.CLIP_LOW_SUM),
        field(struct, PolicyLossMetricsStruct.CLIP_HIGH_SUM),
        field(struct, PolicyLossMetricsStruct.CLIP_LOW_SEQUENCES),
        field(struct, PolicyLossMetricsStruct.CLIP_HIGH_SEQUENCES),
        field(struct, PolicyLossMetricsStruct.APPROX_KL_SUM),
        field(struct, PolicyLossMetricsStruct.KL_SUM),
        field(struct, PolicyLossMetricsStruct.ENTROPY_SUM),
        field(struct, PolicyLossMetricsStruct.RATIO_SUM),
        field(struct, PolicyLossMetricsStruct.RATIO_MIN),
        field(struct, PolicyLossMetricsStruct.RATIO_MAX),
        (long) field(struct, PolicyLossMetricsStruct.NON_FINITE_ROWS),
        (long) field(struct, PolicyLossMetricsStruct.FIRST_NON_FINITE_ROW));
  }

  private static double field(Doubles struct, int offset) {
    return struct.get(offset / Double.BYTES);
  }

  /**
   * Adds the metrics of another micro-batch of the same step. {@code firstNonFiniteRow} is this
   * one's if it has one, else the other's, counted within its own micro-batch.
   *
   * @param other the metrics to add
   * @return the metrics of both together
   */
  public PolicyLossMetrics plus(PolicyLossMetrics other) {
    return new PolicyLossMetrics(
        loss + other.loss,
        policyLoss + other.policyLoss,
        klLoss + other.klLoss,
        entropyLoss + other.entropyLoss,
        tokens + other.tokens,
        sequences + other.sequences,
        clippedSum + other.clippedSum,
        dualClippedSum + other.dualClippedSum,
        clipLowSum + other.clipLowSum,
        clipHighSum + other.clipHighSum,
        clipLowSequences + other.clipLowSequences,
        clipHighSequences + other.clipHighSequences,
        approxKlSum + other.approxKlSum,
        klSum + other.klSum,
        entropySum + other.entropySum,
        ratioSum + other.ratioSum,
        Math.min(ratioMin, other.ratioMin),
        Math.max(ratioMax, other.ratioMax),
        nonFiniteRows + other.nonFiniteRows,
        firstNonFiniteRow >= 0 ? firstNonFiniteRow : other.firstNonFiniteRow);
  }

  /**
   * The share of tokens where the clipped branch is strictly larger (verl {@code pg_clipfrac}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double clipFraction() {
    return perToken(clippedSum);
  }

  /**
   * The share of tokens held by the dual clip (verl {@code pg_clipfrac_lower}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double dualClipFraction() {
    return perToken(dualClippedSum);
  }

  /**
   * The share of tokens with negative advantage below the range (TRL {@code clip_ratio/low}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double clipFractionLow() {
    return perToken(clipLowSum);
  }

  /**
   * The share of tokens with positive advantage above the range (TRL {@code clip_ratio/high}).
   *
   * @return in [0, 1]; 0 without tokens
   */
  public double clipFractionHigh() {
    return perToken(clipHighSum);
  }

  /**
   * The share of sequences with negative advantage below the range, for sequence ratios.
   *
   * @return in [0, 1]; 0 without sequences
   */
  public double sequenceClipFractionLow() {
    return sequences == 0 ? 0 : clipLowSequences / sequences;
  }

  /**
   * The share of sequences with positive advantage above the range, for sequence ratios.
   *
   * @return in [0, 1]; 0 without sequences
   */
  public double sequenceClipFractionHigh() {
    return sequences == 0 ? 0 : clipHighSequences / sequences;
  }

  /**
   * How far the policy has moved since the update began: the mean of {@code old - log_prob} (verl
   * {@code ppo_kl}).
   *
   * @return in nats per token; 0 without tokens
   */
  public double approxKl() {
    return perToken(approxKlSum);
  }

  /**
   * The mean KL estimate to the reference.
   *
   * @return in nats per token; 0 without tokens
   */
  public double kl() {
    return perToken(klSum);
  }

  /**
   * The mean entropy.
   *
   * @return in nats per token; 0 without tokens
   */
  public double entropy() {
    return perToken(entropySum);
  }

  /**
   * The mean ratio.
   *
   * @return the mean over tokens; 0 without tokens
   */
  public double ratioMean() {
    return perToken(ratioSum);
  }

  private double perToken(double sum) {
    return tokens == 0 ? 0 : sum / tokens;
  }
}
