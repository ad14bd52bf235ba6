package dev.polka.kernel;

import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.util.Objects;

/**
 * The loss of a policy-gradient step, its metrics and its gradient, in one call: from logits, or
 * from log-probs that the caller holds.
 *
 * <p>For each token that counts, with ratio r, advantage A, importance weight w, {@code r' = min(r,
 * twoSidedClip)} and entropy H:
 *
 * <pre>{@code
 * l    = max(-A r', -A clip(r, 1 - low, 1 + high));   where A < 0: l = min(l, -A dualClip)
 * loss = sum_t n_t (w_t l_t + klCoefficient kl_t) - sum_t e_t entropyBonus H_t
 * }</pre>
 *
 * <p>with n_t and e_t from the {@link Normalizer}s. Without old log-probs the ratio is 1 with the
 * gradient of {@code exp(log_prob - stopgrad(log_prob))}: plain REINFORCE, exactly on-policy.
 * Advantages and weights have no gradient. Log-ratios are clamped to 20 before they are
 * exponentiated, with gradient 0 beyond.
 *
 * <p>The gradient is that of {@code gradientScale * loss}. A clipped or clamped value is a
 * constant, with gradient exactly 0. A token is skipped by its target or mask (see {@link
 * Targets}). A row is non-finite if its log-prob or advantage is, or if its old or reference
 * log-prob or its weight is NaN; it makes the loss NaN, unless {@link #withSkipNonFinite} masks it,
 * and the metrics count it either way. A micro-batch of whole sequences gives the same gradient
 * rows, bit for bit, as the batch does.
 *
 * <p>Sources: PPO, Schulman et al. 2017; dual clip, Ye et al. 2020; GRPO, Shao et al. 2024; DAPO,
 * Yu et al. 2025; Dr. GRPO, Liu et al. 2025; GSPO, Zheng et al. 2025; two-sided clip, INTELLECT-2,
 * 2025.
 *
 * <p>Immutable and thread-safe, apart from row temperatures and keep-mask, which are views.
 */
public final class PolicyLoss extends LogitsOperation<PolicyLoss> {
  /** Switches a bound off. */
  public static final float NONE = Float.POSITIVE_INFINITY;

  static final float DEFAULT_MAX_LOG_RATIO = 20;

  final PolicyObjective objective;

  private PolicyLoss(CallOptions options, PolicyObjective objective) {
    super(options);
    this.objective = objective;
  }

  private static PolicyLoss of(RatioLevel level, float clipLow, float clipHigh) {
    var clip = new PolicyObjective.Clip(clipLow, clipHigh, 0, 0);
    var ratio =
        new PolicyObjective.Ratio(
            level, SequenceGradient.THROUGH_MEAN, DEFAULT_MAX_LOG_RATIO, DEFAULT_MAX_LOG_RATIO);
    var kl = new PolicyObjective.Kl(null, KlGradient.STRAIGHT_THROUGH_K2, 0, NONE);
    var objective = new PolicyObjective(clip, ratio, kl, 0, false);
    return new PolicyLoss(CallOptions.DEFAULT, objective);
  }

  /**
   * {@return the loss of PPO: token ratios clipped to [0.8, 1.2]} verl also clips dually: {@code
   * withDualClip(3)}.
   */
  public static PolicyLoss ppo() {
    return of(RatioLevel.TOKEN, 0.2f, 0.2f);
  }

  /**
   * {@return the loss of GRPO: token ratios clipped to [0.8, 1.2]} Takes advantages from {@link
   * GroupAdvantage#grpo}, normally with {@link Normalizer#sequences}. The paper adds {@code
   * withKl(KlEstimator.K3, 0.04)}.
   */
  public static PolicyLoss grpo() {
    return of(RatioLevel.TOKEN, 0.2f, 0.2f);
  }

  /**
   * {@return the loss of DAPO: token ratios clipped to [0.8, 1.28], so that unlikely tokens can
   * grow} Goes with {@link Normalizer#tokens}.
   */
  public static PolicyLoss dapo() {
    return of(RatioLevel.TOKEN, 0.2f, 0.28f);
  }

  /**
   * {@return the loss of Dr. GRPO: token ratios clipped to [0.8, 1.2]} Takes advantages from {@link
   * GroupAdvantage#drGrpo}, with {@link Normalizer#constant}, so that length weighs nothing.
   */
  public static PolicyLoss drGrpo() {
    return of(RatioLevel.TOKEN, 0.2f, 0.2f);
  }

  /**
   * {@return the loss of GSPO: sequence ratios clipped to [1 - 3e-4, 1 + 4e-4]} Goes with {@link
   * Normalizer#sequences}.
   */
  public static PolicyLoss gspo() {
    return of(RatioLevel.SEQUENCE, 3e-4f, 4e-4f);
  }

  @Override
  PolicyLoss with(CallOptions other) {
    return new PolicyLoss(other, objective);
  }

  private PolicyLoss with(PolicyObjective other) {
    return new PolicyLoss(options, other);
  }

  /**
   * Clips the ratio to {@code [1 - low, 1 + high]}.
   *
   * @param low how far below 1, or {@link #NONE}
   * @param high how far above 1, or {@link #NONE}
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
    return with(objective.withClip(NONE, NONE, 0, 0));
  }

  /**
   * Bounds the loss of tokens with negative advantage: {@code l = min(l, -A c)} (verl {@code
   * clip_ratio_c}, there 3 and always on).
   *
   * @param c the bound of the ratio
   * @return the operation with it
   * @throws IllegalArgumentException if {@code c} is not finite and > 1
   */
  public PolicyLoss withDualClip(float c) {
    PolicyObjective.Clip clip = objective.clip();
    Require.positive("dualClip", c);
    return with(objective.withClip(clip.low(), clip.high(), c, clip.ratioMax()));
  }

  /**
   * Bounds the ratio of the unclipped branch too (INTELLECT-2; TRL {@code delta}).
   *
   * @param delta the bound of the ratio
   * @return the operation with it
   * @throws IllegalArgumentException if {@code delta} is not finite and above {@code 1 + high}
   */
  public PolicyLoss withTwoSidedClip(float delta) {
    PolicyObjective.Clip clip = objective.clip();
    Require.positive("twoSidedClip", delta);
    return with(objective.withClip(clip.low(), clip.high(), clip.dual(), delta));
  }

  /**
   * {@return the operation with other ratios}
   *
   * @param level whether ratios are taken over tokens or sequences
   */
  public PolicyLoss withRatio(RatioLevel level) {
    PolicyObjective.Ratio r = objective.ratio();
    return with(objective.withRatio(level, r.gradient(), r.maxLog(), r.sequenceMaxLog()));
  }

  /**
   * {@return the operation with another gradient of sequence ratios}
   *
   * @param gradient how they are differentiated
   */
  public PolicyLoss withSequenceGradient(SequenceGradient gradient) {
    PolicyObjective.Ratio r = objective.ratio();
    return with(objective.withRatio(r.level(), gradient, r.maxLog(), r.sequenceMaxLog()));
  }

  /**
   * Clamps the log-ratios of tokens, to old and reference log-probs, before they are exponentiated.
   *
   * @param maxLogRatio the bound, > 0, 20 unless set (verl); {@link #NONE} for none (TRL)
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
   * @param maxLogRatio the bound, > 0, 20 unless set (verl: 10); {@link #NONE} for none (TRL)
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
   * KlGradient#PATHWISE}.
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
   * {@return the operation with another gradient of the KL term}
   *
   * @param gradient what the gradient is
   */
  public PolicyLoss withKlGradient(KlGradient gradient) {
    PolicyObjective.Kl kl = objective.kl();
    return with(objective.withKl(kl.estimator(), gradient, kl.coefficient(), kl.k3Max()));
  }

  /**
   * Bounds the value of k3, with gradient 0 where bounded.
   *
   * @param k3Max the bound, > 0 (verl: 10); {@link #NONE}, the default, for none
   * @return the operation with it
   * @throws IllegalArgumentException if the bound is not > 0
   */
  public PolicyLoss withK3Max(float k3Max) {
    PolicyObjective.Kl kl = objective.kl();
    return with(objective.withKl(kl.estimator(), kl.gradient(), kl.coefficient(), k3Max));
  }

  /**
   * Rewards entropy.
   *
   * @param coefficient what the entropy is multiplied by
   * @return the operation with it
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public PolicyLoss withEntropyBonus(double coefficient) {
    return with(objective.withEntropyBonus(coefficient));
  }

  /** {@return the operation that masks non-finite rows, instead of making the loss NaN} */
  public PolicyLoss withSkipNonFinite() {
    return with(objective.withSkipNonFinite());
  }

  /**
   * Computes loss and metrics from logits.
   *
   * @param logits {@code [rows, vocabulary]}
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @return a result without gradient; close it
   * @throws IllegalArgumentException if shapes, devices, options or parts of the batch do not fit
   *     each other, or a part that the objective needs is missing
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary, or offsets fall
   */
  public LossResult forward(Matrix logits, TokenBatch batch, Normalizer normalizer) {
    return PolicyLossCall.fill(
        this, batch, normalizer, LossResult.withoutGradient(logits), logits, null);
  }

  /**
   * Computes loss and metrics from logits into memory that exists. Allocates nothing. Otherwise
   * like {@link #forward(Matrix, TokenBatch, Normalizer)}.
   *
   * @param logits {@code [rows, vocabulary]}
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @param out written; a gradient it has room for is left as it is
   */
  public void forward(Matrix logits, TokenBatch batch, Normalizer normalizer, LossResult out) {
    PolicyLossCall.run(this, batch, normalizer, logits, null, out);
  }

  /**
   * Computes loss, metrics and the gradient for the logits.
   *
   * @param logits {@code [rows, vocabulary]}
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @return a result with a gradient in the logits' type; close it
   * @throws IllegalArgumentException if shapes, devices, options or parts of the batch do not fit
   *     each other, or a part that the objective needs is missing
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary, or offsets fall
   */
  public LossResult forwardBackward(Matrix logits, TokenBatch batch, Normalizer normalizer) {
    LossResult out = LossResult.allocate(logits);
    return PolicyLossCall.fill(this, batch, normalizer, out, logits, out.room());
  }

  /**
   * Computes loss, metrics and the gradient for the logits into memory that exists. Allocates
   * nothing. Otherwise like {@link #forwardBackward(Matrix, TokenBatch, Normalizer)}.
   *
   * @param logits {@code [rows, vocabulary]}
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @param out written; its gradient is of the logits' type or f32, and not the logits' memory
   * @throws IllegalStateException if {@code out} has no room for a gradient
   */
  public void forwardBackward(
      Matrix logits, TokenBatch batch, Normalizer normalizer, LossResult out) {
    Require.sameShape("gradient", out.room(), logits);
    PolicyLossCall.run(this, batch, normalizer, logits, out.room(), out);
  }

  /**
   * Computes loss and metrics, and replaces the logits by their gradient.
   *
   * @param logits read, then overwritten row by row
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @return a result whose gradient is {@code logits}; close it
   * @throws IllegalArgumentException if shapes, devices, options or parts of the batch do not fit
   *     each other, a part that the objective needs is missing, or the logits are f16 and no
   *     gradient scale is set
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary, or offsets fall
   */
  public LossResult forwardBackwardInPlace(Matrix logits, TokenBatch batch, Normalizer normalizer) {
    return PolicyLossCall.fill(
        this, batch, normalizer, LossResult.withoutGradient(logits), logits, logits);
  }

  /**
   * Computes loss and metrics into memory that exists, and replaces the logits by their gradient.
   * Allocates nothing. Otherwise like {@link #forwardBackwardInPlace(Matrix, TokenBatch,
   * Normalizer)}.
   *
   * @param logits read, then overwritten row by row
   * @param batch targets, sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @param out written; its gradient is {@code logits} from now on
   */
  public void forwardBackwardInPlace(
      Matrix logits, TokenBatch batch, Normalizer normalizer, LossResult out) {
    PolicyLossCall.run(this, batch, normalizer, logits, logits, out);
  }

  /**
   * Computes loss and metrics from log-probs that the caller holds. Softmax options have no meaning
   * here.
   *
   * @param logProb f32, one per token
   * @param entropy f32, one per token; may be null without an entropy bonus
   * @param batch sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @return a result without gradients; close it
   * @throws IllegalArgumentException if sizes, devices, options or parts of the batch do not fit
   *     each other, or a part that the objective needs is missing
   * @throws IndexOutOfBoundsException if offsets fall
   */
  public LossResult forward(
      Floats logProb, Floats entropy, TokenBatch batch, Normalizer normalizer) {
    return PolicyLossCall.fill(
        this, batch, normalizer, LossResult.withoutGradient(logProb), logProb, entropy);
  }

  /**
   * Computes loss, metrics and the gradients for log-probs and entropies that the caller holds.
   * Otherwise like {@link #forward(Floats, Floats, TokenBatch, Normalizer)}.
   *
   * @param logProb f32, one per token
   * @param entropy f32, one per token; may be null without an entropy bonus
   * @param batch sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @return a result with {@link LossResult#logProbGradient} and {@link
   *     LossResult#entropyGradient}; close it
   */
  public LossResult forwardBackward(
      Floats logProb, Floats entropy, TokenBatch batch, Normalizer normalizer) {
    return PolicyLossCall.fill(
        this, batch, normalizer, LossResult.allocate(logProb), logProb, entropy);
  }

  /**
   * Computes loss, metrics and the gradients that {@code out} has room for, into memory that
   * exists. Allocates nothing. Otherwise like {@link #forward(Floats, Floats, TokenBatch,
   * Normalizer)}.
   *
   * @param logProb f32, one per token
   * @param entropy f32, one per token; may be null without an entropy bonus
   * @param batch sequences, and what belongs to each token
   * @param normalizer what the loss is divided by
   * @param out written
   */
  public void forwardBackward(
      Floats logProb, Floats entropy, TokenBatch batch, Normalizer normalizer, LossResult out) {
    PolicyLossCall.run(this, batch, normalizer, logProb, entropy, out);
  }
}
