package dev.polka.kernel;

import java.util.Objects;

/**
 * The options of {@link PolicyLoss} that say what is minimised. Each {@code with} method returns a
 * new operation; the one it is called on stays as it is.
 *
 * <p>A public type only so that its methods are; {@link PolicyLoss} is its one kind.
 */
public abstract sealed class ObjectiveOptions extends LogitsOperation<PolicyLoss>
    permits PolicyLoss {
  final PolicyObjective objective;

  ObjectiveOptions(CallOptions options, PolicyObjective objective) {
    super(options);
    this.objective = objective;
  }

  abstract PolicyLoss with(PolicyObjective other);

  /**
   * Chooses what the loss of one token is. The presets do that under the names of the literature.
   *
   * @param surrogate the loss of one token
   * @return the operation with it
   * @throws IllegalArgumentException if a dual or two-sided clip is set, which belong to {@link
   *     Surrogate.Basic#CLIP}, or the surrogate needs the ratio of a sequence and that is not
   *     chosen
   */
  public PolicyLoss withSurrogate(Surrogate surrogate) {
    return with(objective.withSurrogate(Objects.requireNonNull(surrogate, "surrogate")));
  }

  /**
   * Bounds the ratio to {@code [1 - low, 1 + high]}. What a bound does is up to the {@link
   * Surrogate}.
   *
   * @param low how far below 1, or {@link PolicyLoss#NONE}
   * @param high how far above 1, or {@link PolicyLoss#NONE}
   * @return the operation with it
   * @throws IllegalArgumentException if one is negative or NaN, or a two-sided clip is not above
   *     {@code 1 + high}
   */
  public PolicyLoss withClip(float low, float high) {
    PolicyObjective.Clip clip = objective.clip();
    return with(objective.withClip(low, high, clip.dual(), clip.ratioMax()));
  }

  /** {@return the operation without any clip, dual and two-sided included} */
  public PolicyLoss withoutClip() {
    return with(objective.withClip(PolicyLoss.NONE, PolicyLoss.NONE, 0, 0));
  }

  /**
   * Bounds the loss of tokens with negative advantage: {@code l = min(l, -A c)}. Off unless set;
   * verl {@code clip_ratio_c} is 3 and always on, ROLL's is 1.4.
   *
   * @param c the bound of the ratio
   * @return the operation with it
   * @throws IllegalArgumentException if {@code c} is not finite and > 1, or the surrogate is
   *     another than {@link Surrogate.Basic#CLIP}
   */
  public PolicyLoss withDualClip(float c) {
    PolicyObjective.Clip clip = objective.clip();
    Require.positive("dualClip", c);
    return with(objective.withClip(clip.low(), clip.high(), c, clip.ratioMax()));
  }

  /**
   * Bounds the ratio of the unclipped branch too (INTELLECT-2; TRL {@code delta}). Off unless set.
   *
   * @param delta the bound of the ratio
   * @return the operation with it
   * @throws IllegalArgumentException if {@code delta} is not finite and above {@code 1 + high}, or
   *     the surrogate is another than {@link Surrogate.Basic#CLIP}
   */
  public PolicyLoss withTwoSidedClip(float delta) {
    PolicyObjective.Clip clip = objective.clip();
    Require.positive("twoSidedClip", delta);
    return with(objective.withClip(clip.low(), clip.high(), clip.dual(), delta));
  }

  /**
   * Takes ratios over tokens, {@code r_t = exp(log_prob_t - old_t)}, or over sequences, {@code r =
   * exp(mean_t(log_prob_t - old_t))} (GSPO, Zheng et al. 2025; TRL {@code
   * importance_sampling_level}). As the preset has it unless set; for segments see {@code
   * dev.polka.policy.SegmentRatio}.
   *
   * @param level what they are taken over
   * @return the operation with it
   * @throws IllegalArgumentException if the surrogate needs the ratio of a sequence
   */
  public PolicyLoss withRatio(RatioLevel level) {
    PolicyObjective.Ratio r = objective.ratio();
    return with(objective.withRatio(level, r.gradient(), r.maxLog(), r.sequenceMaxLog()));
  }

  /**
   * Chooses how sequence ratios are differentiated: {@link SequenceGradient#THROUGH_MEAN} unless
   * set (GSPO; TRL, NeMo-RL, OpenRLHF, slime, ROLL); verl and SkyRL take {@link
   * SequenceGradient#TOKEN_DETACHED}. The two differ only where advantages or weights vary within a
   * sequence.
   *
   * @param gradient how they are differentiated
   * @return the operation with it
   */
  public PolicyLoss withSequenceGradient(SequenceGradient gradient) {
    PolicyObjective.Ratio r = objective.ratio();
    return with(objective.withRatio(r.level(), gradient, r.maxLog(), r.sequenceMaxLog()));
  }

  /**
   * Clamps the log-ratios of tokens, to old and reference log-probs, before they are exponentiated.
   *
   * @param maxLogRatio the bound, > 0, 20 unless set (verl); {@link PolicyLoss#NONE} for none (TRL)
   * @return the operation with it
   * @throws IllegalArgumentException if the bound is not > 0
   */
  public PolicyLoss withMaxLogRatio(float maxLogRatio) {
    PolicyObjective.Ratio r = objective.ratio();
    return with(objective.withRatio(r.level(), r.gradient(), maxLogRatio, r.sequenceMaxLog()));
  }

  /**
   * Bounds the mean log-ratio of a sequence from above.
   *
   * @param maxLogRatio the bound, > 0, 20 unless set (verl: 10); {@link PolicyLoss#NONE} for none
   *     (TRL)
   * @return the operation with it
   * @throws IllegalArgumentException if the bound is not > 0
   */
  public PolicyLoss withSequenceMaxLogRatio(float maxLogRatio) {
    PolicyObjective.Ratio r = objective.ratio();
    return with(objective.withRatio(r.level(), r.gradient(), r.maxLog(), maxLogRatio));
  }

  /**
   * Adds a KL term to the reference, with the unbiased gradient {@link
   * KlGradient#STRAIGHT_THROUGH_K2} unless another is chosen. verl and TRL take {@link
   * KlGradient#PATHWISE}. Weights and masks of the policy term do not touch it.
   *
   * @param estimator the estimator
   * @param coefficient what it is multiplied by
   * @return the operation with it
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public PolicyLoss withKl(KlEstimator estimator, double coefficient) {
    PolicyObjective.Kl kl = objective.kl();
    Objects.requireNonNull(estimator, "estimator");
    return with(objective.withKl(estimator, kl.gradient(), coefficient, kl.k3Max()));
  }

  /**
   * Chooses the gradient of the KL term: {@link KlGradient#STRAIGHT_THROUGH_K2} unless set (verl
   * {@code k3+}). verl's plain estimators, TRL, slime and SkyRL take {@link KlGradient#PATHWISE},
   * NeMo-RL {@link KlGradient#IMPORTANCE_WEIGHTED}.
   *
   * @param gradient what the gradient is
   * @return the operation with it
   */
  public PolicyLoss withKlGradient(KlGradient gradient) {
    PolicyObjective.Kl kl = objective.kl();
    return with(objective.withKl(kl.estimator(), gradient, kl.coefficient(), kl.k3Max()));
  }

  /**
   * Bounds the value of k3, with gradient 0 where bounded.
   *
   * @param k3Max the bound, > 0 (verl: 10); {@link PolicyLoss#NONE}, the default, for none
   * @return the operation with it
   * @throws IllegalArgumentException if the bound is not > 0
   */
  public PolicyLoss withK3Max(float k3Max) {
    PolicyObjective.Kl kl = objective.kl();
    return with(objective.withKl(kl.estimator(), kl.gradient(), kl.coefficient(), k3Max));
  }

  /**
   * Pulls each token towards the old policy: adds {@code coefficient b_t k_t} to its loss, with the
   * estimator at {@code log_prob - old} and b_t from {@link TokenBatch#withAnchorWeights}. KL-Cov
   * takes {@link KlEstimator#ABS} on chosen tokens; DRO, Kimi k1.5 and prime-rl take {@link
   * KlEstimator#K2}. Its gradient is the estimator's own.
   *
   * @param estimator the estimator
   * @param coefficient what it is multiplied by
   * @return the operation with it
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public PolicyLoss withAnchor(KlEstimator estimator, double coefficient) {
    Objects.requireNonNull(estimator, "estimator");
    return with(objective.withExtras(objective.extras().withAnchor(estimator, coefficient)));
  }

  /**
   * Adds a likelihood term, {@code -coefficient sum_t q_t c_t log_prob_t}: c_t is 1 for tokens with
   * positive advantage and 0 elsewhere (VAPO; NeMo-RL {@code positive_example_nll_weight}) unless
   * {@link TokenBatch#withLikelihoodWeights} says otherwise, and q_t is by {@link
   * TokenBatch#withLikelihoodNormalizer}.
   *
   * @param coefficient what it is multiplied by; 0, the default, for none
   * @return the operation with it
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public PolicyLoss withLikelihood(double coefficient) {
    return with(objective.withExtras(objective.extras().withLikelihood(coefficient)));
  }

  /**
   * Keeps only the policy term of tokens that were uncertain (Wang et al. 2025, "Beyond the 80/20
   * rule"; TRL {@code top_entropy_quantile}). The threshold is a quantile over the whole step, so
   * it is an input.
   *
   * @param threshold the least entropy, in nats; 0, the default, for all tokens
   * @return the operation with it
   * @throws IllegalArgumentException if {@code threshold} is neither 0 nor finite and > 0
   */
  public PolicyLoss withEntropyThreshold(float threshold) {
    return with(objective.withExtras(objective.extras().withEntropyThreshold(threshold)));
  }

  /**
   * Drops the policy term of tokens with negative advantage where the sequence has drifted: where
   * its mean of {@code behaviour - log_prob}, or {@code old - log_prob} without behaviour
   * log-probs, is above a bound (DeepSeek-V3.2; slime takes 1e-4 and the old log-probs, TRL {@code
   * off_policy_mask_threshold} the sampler's). Needs whole sequences.
   *
   * @param maxDrift the bound, in nats per token; 0, the default, for none
   * @return the operation with it
   * @throws IllegalArgumentException if {@code maxDrift} is neither 0 nor finite and > 0
   */
  public PolicyLoss withOffPolicyMask(float maxDrift) {
    return with(objective.withExtras(objective.extras().withOffPolicyMax(maxDrift)));
  }

  /**
   * Rewards entropy: subtracts {@code coefficient sum_t e_t H_t}, with H_t in nats and e_t by
   * {@link TokenBatch#withEntropyNormalizer}, or as the rest of the loss is divided. The masks of
   * the policy term do not touch it. 0 in most peers; TRL always takes the mean over tokens. {@code
   * dev.polka.policy.EntropyController} adapts the coefficient.
   *
   * @param coefficient what the entropy is multiplied by; 0 unless set
   * @return the operation with it
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public PolicyLoss withEntropyBonus(double coefficient) {
    return with(objective.withEntropyBonus(coefficient));
  }

  /**
   * {@return the operation that masks non-finite rows, instead of making the loss NaN} Off unless
   * set: a NaN in training should be seen. AReaL takes a log-ratio that is not finite for 0.
   */
  public PolicyLoss withSkipNonFinite() {
    return with(objective.withSkipNonFinite());
  }

  /**
   * {@return whether the gradient of a token depends on the log-probs of the others of its
   * sequence: for ratios of sequences and off-policy masks} Otherwise the tokens of a sequence may
   * come in any number of calls, and the gradients are the same.
   */
  public final boolean needsWholeSequences() {
    return objective.needsSequences();
  }

  /** What is minimised, without the options of the softmax and the call. */
  @Override
  public final String toString() {
    return objective.describe();
  }
}
