package dev.polka.conformance;

import static java.lang.Double.POSITIVE_INFINITY;

import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.Arrays;
import java.util.Optional;
import java.util.Set;

/**
 * A policy-loss vector in this library's terms. Which options of verl and TRL mean what is written
 * here once. Rows are padded: sequence b owns rows {@code [b T, (b + 1) T)} and the mask selects
 * the first {@code length[b]} of them.
 */
record PolicyLossVector(
    GoldenCase golden,
    ReferenceObjective objective,
    ReferenceBatch batch,
    boolean advantagePerSequence,
    int width) {
  private static final Set<String> TRL_LOSSES = Set.of("grpo", "bnpo", "dr_grpo", "dapo");

  /** Why a case cannot run yet; empty when it can. */
  static Optional<String> pending(GoldenCase c) {
    if (isTrl(c)) {
      return trlPending(c);
    }
    boolean known = c.operation().endsWith("_vanilla") || c.operation().endsWith("_gspo");
    return known ? Optional.empty() : Optional.of("objective " + c.operation());
  }

  private static Optional<String> trlPending(GoldenCase c) {
    String type = c.option("loss_type", "dapo");
    if (!TRL_LOSSES.contains(type)) {
      return Optional.of("loss_type " + type);
    }
    if (c.option("top_entropy_quantile", 1.0) != 1.0) {
      return Optional.of("top_entropy_quantile");
    }
    if (c.options().hasNonNull("off_policy_mask_threshold")) {
      return Optional.of("off_policy_mask_threshold");
    }
    return c.option("use_bias_correction_kl", false)
        ? Optional.of("use_bias_correction_kl")
        : Optional.empty();
  }

  static PolicyLossVector of(GoldenCase c) {
    ReferenceObjective objective = isTrl(c) ? trlObjective(c) : verlObjective(c);
    double[][] advantages = c.inputRows("advantage_" + c.option("advantage", "sequence"));
    int width = advantages[0].length;
    int sequences = advantages.length;
    double[] length = c.inputs("length");
    long[] offsets = new long[sequences + 1];
    long[] tokens = new long[sequences];
    boolean[] mask = new boolean[sequences * width];
    for (int b = 0; b < sequences; b++) {
      tokens[b] = (long) length[b];
      offsets[b + 1] = offsets[b] + width;
      Arrays.fill(mask, b * width, b * width + (int) tokens[b], true);
    }
    double total = Arrays.stream(tokens).sum();
    Division division =
        isTrl(c) ? trlDivision(c, tokens, total) : verlDivision(c, tokens, total, width);
    ReferenceBatch batch =
        new ReferenceBatch(
            offsets,
            flat(c, "log_prob"),
            isTrl(c) ? flat(c, "entropy") : null,
            flat(c, "old_log_prob"),
            objective.klEstimator() == null ? null : flat(c, "ref_log_prob"),
            GoldenCase.flat(advantages),
            c.option("rollout_is_weight", false) ? flat(c, "rollout_is_weight") : null,
            mask,
            division.divisor,
            division.perSequence ? tokens : null,
            total,
            null);
    boolean perSequence = "sequence".equals(c.option("advantage", "sequence"));
    return new PolicyLossVector(c, objective, batch, perSequence, width);
  }

  private record Division(double divisor, boolean perSequence) {}

  static boolean isTrl(GoldenCase c) {
    return c.operation().startsWith("trl:");
  }

  private static double[] flat(GoldenCase c, String field) {
    return GoldenCase.flat(c.inputRows(field));
  }

  /**
   * verl: dual clip at 3 unless told otherwise; its GSPO has the token form of the ratio, bound 10,
   * no dual clip.
   */
  private static ReferenceObjective verlObjective(GoldenCase c) {
    double clip = c.option("clip_ratio", 0.2);
    ReferenceObjective clipped =
        ReferenceObjective.PPO.withClip(
            c.option("clip_ratio_low", clip), c.option("clip_ratio_high", clip));
    return c.operation().endsWith("_gspo")
        ? clipped.withSequenceRatio(false).withSequenceMaxLogRatio(10)
        : clipped.withDualClip(c.option("clip_ratio_c", 3.0));
  }

  /**
   * TRL: nothing is bounded before exp, and the sequence ratio's gradient runs through the mean.
   */
  private static ReferenceObjective trlObjective(GoldenCase c) {
    ReferenceObjective objective =
        ReferenceObjective.PPO
            .withClip(c.option("epsilon_low", 0.2), c.option("epsilon_high", 0.2))
            .withMaxLogRatio(POSITIVE_INFINITY)
            .withSequenceMaxLogRatio(POSITIVE_INFINITY)
            .withRatioMax(c.option("delta", 0))
            .withEntropyBonus(c.option("entropy_coef", 0.0));
    double beta = c.option("beta", 0.0);
    if (beta != 0) {
      objective = objective.withKl(Estimator.K3, Gradient.PATHWISE, beta);
    }
    return "sequence".equals(c.option("importance_sampling_level", "token"))
        ? objective.withSequenceRatio(true)
        : objective;
  }

  private static Division verlDivision(GoldenCase c, long[] tokens, double total, int width) {
    double counted = Arrays.stream(tokens).filter(n -> n > 0).count();
    String aggregation =
        c.operation().endsWith("_gspo")
            ? "seq-mean-token-mean"
            : c.option("aggregation", "token-mean");
    return switch (aggregation) {
      case "token-mean" -> new Division(total, false);
      case "seq-mean-token-sum" -> new Division(counted, false);
      case "seq-mean-token-mean" -> new Division(counted, true);
      case "seq-mean-token-sum-norm" -> new Division(width, false);
      default -> throw new IllegalArgumentException("aggregation " + aggregation);
    };
  }

  private static Division trlDivision(GoldenCase c, long[] tokens, double total) {
    return switch (c.option("loss_type", "dapo")) {
      case "grpo" -> new Division(tokens.length, true);
      case "dr_grpo" -> new Division(tokens.length * c.option("max_completion_length", 0.0), false);
      default -> new Division(Math.max(total, 1), false);
    };
  }
}
