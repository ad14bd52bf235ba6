package dev.polka.kernel;

import dev.polka.kernel.Surrogate.Basic;
import dev.polka.kernel.Surrogate.Measure;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.util.Objects;

/**
 * The loss of a policy-gradient step, its metrics and its gradient, in one call: from logits, or
 * from log-probs that the caller holds.
 *
 * <p>For each token that counts, with log-prob x, entropy H, importance weight w and the loss l of
 * its {@link Surrogate}:
 *
 * <pre>{@code
 * loss = sum_t n_t (w_t m_t (l_t + anchor b_t anchor_t) + klCoefficient kl_t)
 *      - sum_t e_t entropyBonus H_t - sum_t q_t likelihood c_t x_t
 * }</pre>
 *
 * <p>in this order: surrogate and anchor, masks m (by drift and by entropy), weights, then the KL
 * term, which neither touches. n_t, e_t and q_t are by the {@link Normalizer}s. Without old
 * log-probs the ratio is 1 with the gradient of {@code exp(x - stopgrad(x))}: plain REINFORCE,
 * exactly on-policy. Advantages and weights have no gradient. Log-ratios are clamped to 20 before
 * they are exponentiated.
 *
 * <p>The gradient is that of {@code gradientScale * loss}. A clipped or clamped value is a
 * constant, with gradient exactly 0. A token is skipped by its target or mask (see {@link
 * Targets}). A row is non-finite if its log-prob or advantage is, or if another of its log-probs or
 * weights is NaN; it makes the loss NaN, unless {@link #withSkipNonFinite} masks it, and the
 * metrics count it either way. A micro-batch of whole sequences gives the same gradient rows, bit
 * for bit, as the batch does.
 *
 * <p>The presets are as their papers have them, and say which peers differ.
 *
 * <p>Immutable and thread-safe, apart from row temperatures and keep-mask, which are views.
 */
public final class PolicyLoss extends ObjectiveOptions {
  /** Switches a bound off. */
  public static final float NONE = Float.POSITIVE_INFINITY;

  static final float DEFAULT_MAX_LOG_RATIO = 20;

  private PolicyLoss(CallOptions options, PolicyObjective objective) {
    super(options, objective);
  }

  private static PolicyLoss of(
      Surrogate surrogate, RatioLevel level, float clipLow, float clipHigh) {
    var clip = new PolicyObjective.Clip(clipLow, clipHigh, 0, 0);
    var ratio =
        new PolicyObjective.Ratio(
            level, SequenceGradient.THROUGH_MEAN, DEFAULT_MAX_LOG_RATIO, DEFAULT_MAX_LOG_RATIO);
    var kl = new PolicyObjective.Kl(null, KlGradient.STRAIGHT_THROUGH_K2, 0, NONE);
    var extras = PolicyObjective.Extras.NONE;
    return new PolicyLoss(
        CallOptions.DEFAULT, new PolicyObjective(surrogate, clip, ratio, kl, extras, 0, false));
  }

  private static PolicyLoss ofTokens(Surrogate surrogate, float clipLow, float clipHigh) {
    return of(surrogate, RatioLevel.TOKEN, clipLow, clipHigh);
  }

  /**
   * {@return the loss of PPO: token ratios clipped to [0.8, 1.2]} Schulman et al. 2017. verl also
   * clips dually: {@code withDualClip(3)}.
   */
  public static PolicyLoss ppo() {
    return ofTokens(Basic.CLIP, 0.2f, 0.2f);
  }

  /**
   * {@return the loss of GRPO: token ratios clipped to [0.8, 1.2]} Shao et al. 2024. Takes
   * advantages from {@link GroupAdvantage#grpo}, normally with {@link Normalizer#sequences}. The
   * paper adds {@code withKl(KlEstimator.K3, 0.04)}.
   */
  public static PolicyLoss grpo() {
    return ofTokens(Basic.CLIP, 0.2f, 0.2f);
  }

  /**
   * {@return the loss of DAPO: token ratios clipped to [0.8, 1.28], so that unlikely tokens can
   * grow} Yu et al. 2025. Goes with {@link Normalizer#tokens}.
   */
  public static PolicyLoss dapo() {
    return ofTokens(Basic.CLIP, 0.2f, 0.28f);
  }

  /**
   * {@return the loss of Dr. GRPO: token ratios clipped to [0.8, 1.2]} Liu et al. 2025. Takes
   * advantages from {@link GroupAdvantage#drGrpo}, with {@link Normalizer#constant}, so that length
   * weighs nothing.
   */
  public static PolicyLoss drGrpo() {
    return ofTokens(Basic.CLIP, 0.2f, 0.2f);
  }

  /**
   * {@return the loss of GSPO: sequence ratios clipped to [1 - 3e-4, 1 + 4e-4]} Zheng et al. 2025.
   * Goes with {@link Normalizer#sequences}. verl and SkyRL take {@link
   * SequenceGradient#TOKEN_DETACHED}, which is GSPO-token.
   */
  public static PolicyLoss gspo() {
    return of(Basic.CLIP, RatioLevel.SEQUENCE, 3e-4f, 4e-4f);
  }

  /**
   * {@return the loss of LUSPO: sequence ratios clipped as in GSPO} Goes with {@link
   * Normalizer#sequenceSums}, by which a sequence weighs as much as it is long. TRL {@code luspo}
   * clips to its usual [0.8, 1.2].
   */
  public static PolicyLoss luspo() {
    return of(Basic.CLIP, RatioLevel.SEQUENCE, 3e-4f, 4e-4f);
  }

  /**
   * {@return the loss of GMPO: the geometric mean of token ratios, log-ratios held in [-0.4, 0.4]}
   * Zhao et al. 2025; see {@link Basic#GEOMETRIC_MEAN}. Goes with {@link Normalizer#sequences}.
   */
  public static PolicyLoss gmpo() {
    return of(Basic.GEOMETRIC_MEAN, RatioLevel.SEQUENCE, 0.4f, 0.4f);
  }

  /**
   * {@return the loss of CISPO: importance weights up to 1.2, without a lower bound} MiniMax 2025;
   * see {@link Basic#CISPO} for the bounds of the peers. TRL's {@code epsilon_high} e is {@code
   * withClip(NONE, e - 1)}.
   */
  public static PolicyLoss cispo() {
    return ofTokens(Basic.CISPO, NONE, 0.2f);
  }

  /**
   * {@return the loss of SAPO: gates of temperature 1 where {@code A > 0} and 1.05 elsewhere} Gao
   * et al. 2025; see {@link Surrogate.SoftGate}. Goes with {@link Normalizer#sequences}; AReaL
   * averages over tokens.
   */
  public static PolicyLoss sapo() {
    return ofTokens(new Surrogate.SoftGate(1, 1.05f), NONE, NONE);
  }

  /**
   * {@return the loss of VESPO: one gamma weight per sequence} TRL {@code vespo}; see {@link
   * Surrogate.GammaWeight}. Goes with {@link Normalizer#tokens}.
   */
  public static PolicyLoss vespo() {
    return of(new Surrogate.GammaWeight(2, 3, 3, 2), RatioLevel.SEQUENCE, NONE, NONE);
  }

  /**
   * {@return the loss of DPPO by binary total variation, within 0.2} See {@link
   * Surrogate.TrustRegion}, also for what verl does instead.
   */
  public static PolicyLoss dppoTv() {
    return ofTokens(trust(Measure.TOTAL_VARIATION, 0.2f), NONE, NONE);
  }

  /** {@return the loss of DPPO by binary KL, within 0.05} See {@link Surrogate.TrustRegion}. */
  public static PolicyLoss dppoKl() {
    return ofTokens(trust(Measure.KL, 0.05f), NONE, NONE);
  }

  /**
   * {@return the loss of prime-rl's IPO: tokens whose probability moved by more than 0.1 either way
   * are dropped} The old log-probs are those of the sampler. See {@link Surrogate.TrustRegion}.
   */
  public static PolicyLoss ipo() {
    return ofTokens(trust(Measure.PROBABILITY, 0.1f), NONE, NONE);
  }

  private static Surrogate trust(Measure measure, float bound) {
    return new Surrogate.TrustRegion(measure, bound, bound, 0);
  }

  /**
   * {@return the loss that weighs tokens by their ratio within [0.8, 1.2] and drops the others} See
   * {@link Basic#MASKED_IMPORTANCE}.
   */
  public static PolicyLoss maskedImportance() {
    return ofTokens(Basic.MASKED_IMPORTANCE, 0.2f, 0.2f);
  }

  /** {@return the loss of REINFORCE, {@code -A log_prob}} Williams 1992; GPG's too. */
  public static PolicyLoss reinforce() {
    return ofTokens(Basic.REINFORCE, NONE, NONE);
  }

  /**
   * {@return the loss of importance sampling, {@code -A r}} tinker {@code importance_sampling},
   * with {@link Normalizer#none}.
   */
  public static PolicyLoss importanceSampling() {
    return ofTokens(Basic.CLIP, NONE, NONE);
  }

  /** {@return the loss of truncated importance sampling: weights up to 1} ROLL {@code tis}. */
  public static PolicyLoss tis() {
    return ofTokens(Basic.CISPO, NONE, 0);
  }

  /**
   * {@return the loss of tapered off-policy REINFORCE: weights up to 1 where {@code A < 0}} Le Roux
   * et al. 2025; see {@link Basic#TOPR}.
   */
  public static PolicyLoss topr() {
    return ofTokens(Basic.TOPR, NONE, 0);
  }

  /**
   * {@return the loss of DRO: REINFORCE and {@code beta / 2 (log_prob - old)^2}} Richemond et al.
   * 2024; verl {@code dro}. Kimi k1.5 is the same with tau for beta, 0.1 in ROLL {@code kimi15}.
   *
   * @param beta the pull towards the old policy; 0.05 in tinker's example
   * @throws IllegalArgumentException if {@code beta} is not finite
   */
  public static PolicyLoss dro(double beta) {
    return reinforce().withAnchor(KlEstimator.K2, beta);
  }

  /** {@return the loss of SPPO: {@link Surrogate.Regression} at scale 1} A is eta times R. */
  public static PolicyLoss sppo() {
    return of(new Surrogate.Regression(1), RatioLevel.SEQUENCE, NONE, NONE);
  }

  /**
   * {@return the loss of Clip-Cov: PPO's} The tokens whose covariance is too high are dropped by
   * weights, which {@code dev.polka.policy.CovarianceSelection} makes. Cui et al. 2025.
   */
  public static PolicyLoss clipCov() {
    return ppo();
  }

  /**
   * {@return the loss of KL-Cov: {@code -A r}, and {@code coefficient |log_prob - old|} where
   * anchor weights say so} Those tokens are chosen by {@code dev.polka.policy.CovarianceSelection}.
   * Cui et al. 2025.
   *
   * @param coefficient the pull of chosen tokens; 1 in the paper and SkyRL, 0.1 in verl
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public static PolicyLoss klCov(double coefficient) {
    return importanceSampling().withAnchor(KlEstimator.ABS, coefficient);
  }

  @Override
  PolicyLoss with(CallOptions other) {
    return new PolicyLoss(other, objective);
  }

  @Override
  PolicyLoss with(PolicyObjective other) {
    return new PolicyLoss(options, other);
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
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
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
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
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
    Objects.requireNonNull(logits, "logits");
    Objects.requireNonNull(out, "out");
    Require.sameShape("gradient", out.room(), logits);
    Require.notInPlace("gradient", out.room(), logits);
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
   * @throws IndexOutOfBoundsException if a target is outside the vocabulary
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
   *     each other, a part that the objective needs is missing, or offsets fall
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
