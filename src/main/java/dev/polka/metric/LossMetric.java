package dev.polka.metric;

import static dev.polka.metric.Peer.AREAL;
import static dev.polka.metric.Peer.NEMO;
import static dev.polka.metric.Peer.OPENRLHF;
import static dev.polka.metric.Peer.PRIME;
import static dev.polka.metric.Peer.ROLL;
import static dev.polka.metric.Peer.SKYRL;
import static dev.polka.metric.Peer.SLIME;
import static dev.polka.metric.Peer.TINKER;
import static dev.polka.metric.Peer.TRL;
import static dev.polka.metric.Peer.VERL;

import dev.polka.kernel.PolicyLossMetrics;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * What a policy loss reports, each quantity under one name, with the name that a peer gives to the
 * same quantity. Where a peer's name stands, its formula is Polka's up to the peer's own clamps; a
 * peer that computes something else under a like name is not listed. All come from the pass that
 * computes the loss.
 *
 * <p>Thread-safe. Sources: the metric names logged by the systems in {@link Peer}.
 */
public enum LossMetric {
  /** The loss that is differentiated. */
  LOSS(
      "loss",
      "sum of the parts below times their coefficients",
      PolicyLossMetrics::loss,
      name(NEMO, "loss"),
      name(SLIME, "loss")),
  /** The surrogate's part of the loss. */
  POLICY_LOSS(
      "policy_loss",
      "aggregated surrogate",
      PolicyLossMetrics::policyLoss,
      name(VERL, "actor/pg_loss"),
      name(TRL, "policy_loss"),
      name(OPENRLHF, "policy_loss"),
      name(SLIME, "pg_loss"),
      name(ROLL, "actor/pg_loss")),
  /** The KL term before its coefficient. */
  KL_LOSS(
      "kl_loss",
      "aggregated KL estimate to the reference",
      PolicyLossMetrics::klLoss,
      name(VERL, "actor/kl_loss"),
      name(NEMO, "kl_penalty"),
      name(SLIME, "kl_loss"),
      name(ROLL, "actor/kl_loss")),
  /** The entropy bonus before its coefficient. */
  ENTROPY_LOSS(
      "entropy_loss",
      "aggregated entropy",
      PolicyLossMetrics::entropyLoss,
      name(VERL, "actor/entropy"),
      name(SLIME, "entropy_loss")),
  /** The likelihood term before its coefficient. */
  LIKELIHOOD_LOSS(
      "likelihood_loss",
      "aggregated -log_prob of the likelihood term",
      PolicyLossMetrics::likelihoodLoss,
      name(NEMO, "positive_nll_loss")),
  /** The pull towards the old policy before its coefficient. */
  ANCHOR_LOSS("anchor_loss", "aggregated anchor penalty", PolicyLossMetrics::anchorLoss),
  /** Mean KL estimate to the reference. */
  KL(
      "kl",
      "mean over tokens of the KL estimate to the reference",
      PolicyLossMetrics::kl,
      name(TRL, "kl"),
      name(OPENRLHF, "kl"),
      name(SKYRL, "policy_kl")),
  /** How far the policy has moved since the update began. */
  APPROX_KL(
      "approx_kl",
      "mean over tokens of old - log_prob",
      PolicyLossMetrics::approxKl,
      name(VERL, "actor/ppo_kl"),
      name(OPENRLHF, "ppo_kl"),
      name(SLIME, "ppo_kl"),
      name(TINKER, "optim/kl_sample_train_v1")),
  /** The same, never negative. */
  SQUARED_KL(
      "squared_kl",
      "mean over tokens of (old - log_prob)^2 / 2",
      PolicyLossMetrics::squaredKl,
      name(ROLL, "actor/approxkl"),
      name(TINKER, "optim/kl_sample_train_v2")),
  /** The same, unbiased and, but for rounding, never negative; token ratios only. */
  MISMATCH_KL(
      "mismatch_kl",
      "mean over tokens of r - 1 - ln r; token ratios only",
      PolicyLossMetrics::mismatchKl,
      name(PRIME, "mismatch_kl")),
  /** Mean distance of the log-probs. */
  ABS_LOG_RATIO(
      "abs_log_ratio",
      "mean over tokens of the distance of log_prob from old",
      PolicyLossMetrics::absLogRatio),
  /** Mean entropy. */
  ENTROPY(
      "entropy",
      "mean over tokens of the entropy",
      PolicyLossMetrics::entropy,
      name(TRL, "entropy"),
      name(SKYRL, "policy_entropy"),
      name(PRIME, "entropy/all")),
  /** Share of tokens that a bound changes. */
  CLIP_FRACTION(
      "clip_fraction",
      "share of tokens that a bound changes",
      PolicyLossMetrics::clipFraction,
      name(VERL, "actor/pg_clipfrac"),
      name(OPENRLHF, "clip_ratio"),
      name(SLIME, "pg_clipfrac")),
  /** Share of tokens below the range that the bound changes. */
  CLIP_FRACTION_LOW(
      "clip_fraction_low",
      "share of tokens with A < 0 below the range",
      PolicyLossMetrics::clipFractionLow,
      name(TRL, "clip_ratio/low_mean")),
  /** Share of tokens above the range that the bound changes. */
  CLIP_FRACTION_HIGH(
      "clip_fraction_high",
      "share of tokens with A > 0 above the range",
      PolicyLossMetrics::clipFractionHigh,
      name(TRL, "clip_ratio/high_mean")),
  /** Share of tokens that the dual clip holds. */
  DUAL_CLIP_FRACTION(
      "dual_clip_fraction",
      "share of tokens held by the dual clip",
      PolicyLossMetrics::dualClipFraction,
      name(VERL, "actor/pg_clipfrac_lower")),
  /** Share of tokens outside the range, whatever the advantage. */
  OUT_OF_RANGE_FRACTION(
      "out_of_range_fraction",
      "share of tokens outside the range, whatever A",
      PolicyLossMetrics::outOfRangeFraction,
      name(ROLL, "actor/ppo_ratio_clipfrac")),
  /** Share of sequences below the range. */
  SEQUENCE_CLIP_FRACTION_LOW(
      "sequence_clip_fraction_low",
      "share of sequences with A < 0 below the range",
      PolicyLossMetrics::sequenceClipFractionLow),
  /** Share of sequences above the range. */
  SEQUENCE_CLIP_FRACTION_HIGH(
      "sequence_clip_fraction_high",
      "share of sequences with A > 0 above the range",
      PolicyLossMetrics::sequenceClipFractionHigh),
  /** Mean ratio. */
  RATIO_MEAN(
      "ratio_mean",
      "mean over tokens of the ratio",
      PolicyLossMetrics::ratioMean,
      name(NEMO, "probs_ratio"),
      name(ROLL, "actor/ratio_mean"),
      name(SKYRL, "is_ratio_mean"),
      name(AREAL, "importance_weight")),
  /** Smallest ratio. */
  RATIO_MIN(
      "ratio_min",
      "smallest ratio",
      PolicyLossMetrics::ratioMin,
      name(NEMO, "probs_ratio_min"),
      name(ROLL, "actor/ratio_min"),
      name(SKYRL, "is_ratio_min")),
  /** Largest ratio. */
  RATIO_MAX(
      "ratio_max",
      "largest ratio",
      PolicyLossMetrics::ratioMax,
      name(NEMO, "probs_ratio_max"),
      name(ROLL, "actor/ratio_max"),
      name(SKYRL, "is_ratio_max")),
  /** Share of tokens under the entropy threshold. */
  LOW_ENTROPY_FRACTION(
      "low_entropy_fraction",
      "share of tokens dropped by the entropy threshold",
      PolicyLossMetrics::lowEntropyFraction),
  /** Share of sequences that the off-policy mask drops. */
  OFF_POLICY_FRACTION(
      "off_policy_fraction",
      "share of sequences beyond the off-policy mask",
      PolicyLossMetrics::offPolicyFraction,
      name(SLIME, "opsm_clipfrac")),
  /** Mean weight of a sequence. */
  SEQUENCE_WEIGHT_MEAN(
      "sequence_weight_mean",
      "mean over sequences of their weight",
      PolicyLossMetrics::sequenceWeightMean,
      name(TRL, "vespo/phi_seq_mean")),
  /** Tokens that count. */
  TOKENS("tokens", "tokens that count", m -> m.tokens()),
  /** Sequences with a token that counts. */
  SEQUENCES(
      "sequences",
      "sequences with a token that counts",
      m -> m.sequences(),
      name(NEMO, "num_valid_samples")),
  /** Rows with a non-finite log-prob or advantage. */
  NON_FINITE_ROWS(
      "non_finite_rows",
      "rows, not masked, with a non-finite number in them",
      m -> m.nonFiniteRows());

  private final String title;
  private final String formula;
  private final ToDoubleFunction<PolicyLossMetrics> value;
  private final Map<Peer, String> names = new EnumMap<>(Peer.class);

  @SafeVarargs
  LossMetric(
      String title,
      String formula,
      ToDoubleFunction<PolicyLossMetrics> value,
      Map.Entry<Peer, String>... names) {
    this.title = title;
    this.formula = formula;
    this.value = value;
    for (Map.Entry<Peer, String> name : names) {
      this.names.put(name.getKey(), name.getValue());
    }
  }

  private static Map.Entry<Peer, String> name(Peer peer, String name) {
    return Map.entry(peer, name);
  }

  /** {@return Polka's name of the metric} */
  public String title() {
    return title;
  }

  /** {@return its formula in words} */
  public String formula() {
    return formula;
  }

  /**
   * The name that a peer gives to the same quantity.
   *
   * @param peer whose name
   * @return the name, or nothing if the peer does not report the quantity
   */
  public Optional<String> nameIn(Peer peer) {
    return Optional.ofNullable(names.get(Objects.requireNonNull(peer, "peer")));
  }

  /**
   * The metric's value.
   *
   * @param metrics what a policy loss reported, or several added up
   * @return the value, in nats for log-probs, KL and entropies, as a share in [0, 1] for fractions
   */
  public double value(PolicyLossMetrics metrics) {
    return value.applyAsDouble(Objects.requireNonNull(metrics, "metrics"));
  }

  /**
   * All metrics under Polka's names.
   *
   * @param metrics what a policy loss reported, or several added up
   * @return name to value, in the order of this enum
   */
  public static Map<String, Double> of(PolicyLossMetrics metrics) {
    Map<String, Double> all = new LinkedHashMap<>();
    for (LossMetric metric : values()) {
      all.put(metric.title, metric.value(metrics));
    }
    return all;
  }

  /**
   * The metrics that a peer reports too, under its names, to feed a dashboard made for it.
   *
   * @param metrics what a policy loss reported, or several added up
   * @param peer whose names
   * @return name to value, in the order of this enum
   */
  public static Map<String, Double> of(PolicyLossMetrics metrics, Peer peer) {
    Map<String, Double> all = new LinkedHashMap<>();
    for (LossMetric metric : values()) {
      metric.nameIn(peer).ifPresent(name -> all.put(name, metric.value(metrics)));
    }
    return all;
  }
}
