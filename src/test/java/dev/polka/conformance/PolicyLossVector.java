package dev.polka.conformance;

import static java.lang.Double.POSITIVE_INFINITY;

import dev.polka.kernel.TokenLayout;
import dev.polka.policy.CovarianceSelection;
import dev.polka.policy.Quantile;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceObjective.Kind;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.Storage;
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
  private static final Set<String> VERL_LOSSES =
      Set.of("vanilla", "gspo", "sapo", "gpg", "geo_mean", "cispo", "kl_cov");
  private static final Set<String> TRL_LOSSES =
      Set.of("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo");

  /** Why a case cannot run yet; empty when it can. */
  static Optional<String> pending(GoldenCase c) {
    boolean known =
        isTrl(c)
            ? TRL_LOSSES.contains(c.option("loss_type", "dapo"))
            : VERL_LOSSES.contains(verlLoss(c));
    return known ? Optional.empty() : Optional.of("objective " + c.operation() + c.options());
  }

  private static String verlLoss(GoldenCase c) {
    return c.operation().replace("verl:compute_policy_loss_", "");
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
            null,
            extras(c, TokenLayout.padded(width, tokens), GoldenCase.flat(advantages)));
    if (c.option("top_entropy_quantile", 1.0) != 1.0) {
      objective =
          objective.withEntropyThreshold(
              Quantile.entropyThreshold(
                  TokenLayout.padded(width, tokens),
                  batch.entropy(),
                  c.option("top_entropy_quantile", 1.0)));
    }
    boolean perSequence = "sequence".equals(c.option("advantage", "sequence"));
    return new PolicyLossVector(c, objective, batch, perSequence, width);
  }

  /** verl's KL-Cov pulls at the tokens that it selects by the current log-probs. */
  private static ReferenceBatch.Extras extras(
      GoldenCase c, TokenLayout layout, double[] advantages) {
    if (!c.operation().endsWith("_kl_cov")) {
      return ReferenceBatch.Extras.NONE;
    }
    float[] weights =
        CovarianceSelection.of(layout, flat(c, "log_prob"), advantages)
            .anchorWeights(c.options().get("policy_loss").get("kl_cov_ratio").asDouble());
    return new ReferenceBatch.Extras(null, Storage.widen(weights), null, 1, null);
  }

  private record Division(double divisor, boolean perSequence) {}

  static boolean isTrl(GoldenCase c) {
    return c.operation().startsWith("trl:");
  }

  private static double[] flat(GoldenCase c, String field) {
    return GoldenCase.flat(c.inputRows(field));
  }

  /**
   * verl: dual clip at 3 unless told otherwise, for PPO alone; its GSPO has the token form of the
   * ratio, bound 10; its KL-Cov does not clip.
   */
  private static ReferenceObjective verlObjective(GoldenCase c) {
    double clip = c.option("clip_ratio", 0.2);
    ReferenceObjective clipped =
        ReferenceObjective.PPO.withClip(
            c.option("clip_ratio_low", clip), c.option("clip_ratio_high", clip));
    return switch (verlLoss(c)) {
      case "gspo" -> clipped.withSequenceRatio(false).withSequenceMaxLogRatio(10);
      case "sapo" -> clipped.withKind(Kind.SAPO);
      case "gpg" -> clipped.withKind(Kind.REINFORCE);
      case "geo_mean" -> clipped.withKind(Kind.GMPO);
      case "cispo" -> clipped.withKind(Kind.CISPO);
      case "kl_cov" ->
          ReferenceObjective.PPO
              .withoutClip()
              .withAnchor(
                  Estimator.ABS, c.options().get("policy_loss").get("ppo_kl_coef").asDouble());
      default -> clipped.withDualClip(c.option("clip_ratio_c", 3.0));
    };
  }

  /**
   * TRL: nothing is bounded before exp but VESPO's log-ratios, and the sequence ratio's gradient
   * runs through the mean; CISPO has an upper bound alone, its {@code epsilon_high} itself.
   */
  private static ReferenceObjective trlObjective(GoldenCase c) {
    ReferenceObjective objective =
        ReferenceObjective.PPO
            .withClip(c.option("epsilon_low", 0.2), c.option("epsilon_high", 0.2))
            .withMaxLogRatio(POSITIVE_INFINITY)
            .withSequenceMaxLogRatio(POSITIVE_INFINITY)
            .withRatioMax(c.option("delta", 0))
            .withEntropyBonus(c.option("entropy_coef", 0.0))
            .withOffPolicyMask(c.option("off_policy_mask_threshold", 0.0));
    double beta = c.option("beta", 0.0);
    boolean weighted = c.option("use_bias_correction_kl", false);
    if (beta != 0) {
      Gradient gradient = weighted ? Gradient.IMPORTANCE_WEIGHTED : Gradient.PATHWISE;
      objective = objective.withKl(Estimator.K3, gradient, beta);
    }
    if ("sequence".equals(c.option("importance_sampling_level", "token"))) {
      objective = objective.withSequenceRatio(true);
    }
    return switch (c.option("loss_type", "dapo")) {
      case "cispo" ->
          objective
              .withKind(Kind.CISPO)
              .withClip(POSITIVE_INFINITY, c.option("epsilon_high", 0.2) - 1);
      case "sapo" -> objective.withKind(Kind.SAPO);
      case "vespo" -> objective.withKind(Kind.VESPO).withMaxLogRatio(20);
      default -> objective;
    };
  }

  private static Division verlDivision(GoldenCase c, long[] tokens, double total, int width) {
    double counted = Arrays.stream(tokens).filter(n -> n > 0).count();
    boolean forced = Set.of("gspo", "sapo", "geo_mean").contains(verlLoss(c));
    String aggregation = forced ? "seq-mean-token-mean" : c.option("aggregation", "token-mean");
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
      case "grpo", "sapo" -> new Division(tokens.length, true);
      case "luspo" -> new Division(tokens.length, false);
      case "dr_grpo" -> new Division(tokens.length * c.option("max_completion_length", 0.0), false);
      default -> new Division(Math.max(total, 1), false);
    };
  }
}
