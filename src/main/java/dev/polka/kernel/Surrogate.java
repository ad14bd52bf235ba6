package dev.polka.kernel;

import java.util.Objects;

/**
 * What the loss of one token is, as a function of its ratio r, its log-prob x and its advantage A.
 * Below, {@code sg} marks what is a constant for the gradient, {@code clip(r)} holds r in [1 - low,
 * 1 + high] with the bounds of {@link ObjectiveOptions#withClip}, p is {@code exp(x)} and p0 the
 * same of the old log-prob.
 *
 * <p>{@link PolicyLoss} has a preset for each under the name that the literature uses.
 */
public sealed interface Surrogate {

  /** Surrogates without parameters of their own. */
  enum Basic implements Surrogate {
    /**
     * {@code max(-A min(r, twoSidedClip), -A clip(r))}, and for {@code A < 0} at most {@code -A
     * dualClip}: PPO, GRPO, DAPO, Dr. GRPO, GSPO. Schulman et al. 2017, Ye et al. 2020.
     */
    CLIP,
    /**
     * {@code -A sg(clip(r)) x}: every token keeps a gradient, its weight is what is clipped.
     * MiniMax 2025. verl, slime and NeMo-RL take PPO's bounds, SkyRL [0, 5], tinker [0, 4], ROLL
     * [0.9, 1.1]; TRL has no lower bound, and its {@code epsilon_high} is the upper bound itself.
     */
    CISPO,
    /**
     * CISPO, but 0 where PPO would have clipped: {@code A > 0} and r above its range, or {@code A <
     * 0} and r below (ROLL, "unified mask").
     */
    CISPO_MASKED,
    /**
     * {@code -A sg(r) x} where clip(r) = r, else 0 (SkyRL {@code rollout_is}, which leaves the
     * bounds themselves out; GLM-5).
     */
    MASKED_IMPORTANCE,
    /**
     * {@code -A x} where {@code A > 0}, else {@code -A sg(clip(r)) x}: off-policy failures are
     * tapered, successes are not. Le Roux et al. 2025; ROLL {@code topr} asks for the sign of the
     * reward.
     */
    TOPR,
    /** {@code -A x}. Williams 1992; GPG, verl {@code gpg} and {@code reinforce}. */
    REINFORCE,
    /**
     * {@code -A r} with r the exponential of the mean over the sequence of held log-ratios: held at
     * {@code high} where {@code A > 0} and above it, at {@code -low} where {@code A < 0} and below
     * it, so the bounds are in log space. Weights enter as their geometric mean over the sequence.
     * Zhao et al. 2025 (GMPO); verl {@code geo_mean}. Needs {@link RatioLevel#SEQUENCE}.
     */
    GEOMETRIC_MEAN;

    @Override
    public boolean needsSequenceRatio() {
      return this == GEOMETRIC_MEAN;
    }
  }

  /**
   * {@code -A (4 / tau) sigmoid(tau (r - 1))}: a gate that falls off smoothly where PPO clips. Its
   * slope at r = 1 is PPO's. Gao et al. 2025 (SAPO).
   *
   * @param tauPositive tau where {@code A > 0}; 1 in TRL and verl
   * @param tauNegative tau elsewhere; 1.05 in TRL and verl
   */
  record SoftGate(float tauPositive, float tauNegative) implements Surrogate {
    /**
     * Checks the parameters.
     *
     * @param tauPositive see the record
     * @param tauNegative see the record
     * @throws IllegalArgumentException if one is not finite and > 0
     */
    public SoftGate {
      Require.positive("tauPositive", tauPositive);
      Require.positive("tauNegative", tauNegative);
    }
  }

  /** How {@link TrustRegion} measures the way from the old probability to the new one. */
  enum Measure {
    /**
     * Binary total variation, one-sided: {@code A > 0} keeps {@code p - p0 <= high}, {@code A <= 0}
     * keeps {@code p - p0 >= -low}.
     */
    TOTAL_VARIATION,
    /**
     * Binary KL, {@code p0 ln(p0 / p) + (1 - p0) ln((1 - p0) / (1 - p))}: kept within the bound,
     * and wherever the update would lead back.
     */
    KL,
    /** Total variation whatever the sign of A (prime-rl, IPO). */
    PROBABILITY
  }

  /**
   * {@code -A r} for tokens that stay in a trust region of probabilities, 0 for the others. A ratio
   * says little about rare tokens: there, a large one can be a tiny move. DPPO, 2026 (verl {@code
   * dppo_tv} and {@code dppo_kl}, SkyRL, prime-rl).
   *
   * @param measure what is bounded
   * @param low bound downwards
   * @param high bound upwards; 0.2 in all peers for total variation, 0.05 advised for KL, 0.1 for
   *     {@link Measure#PROBABILITY}
   * @param ratioMax 0: the gradient is that of the ratio (SkyRL, prime-rl); else the loss is {@code
   *     -A sg(min(r, ratioMax)) x} (verl: 3 in effect)
   */
  record TrustRegion(Measure measure, float low, float high, float ratioMax) implements Surrogate {
    /**
     * Checks the parameters.
     *
     * @param measure see the record
     * @param low see the record
     * @param high see the record
     * @param ratioMax see the record
     * @throws IllegalArgumentException if a bound is negative or NaN, or {@code ratioMax} neither 0
     *     nor finite and > 0
     */
    public TrustRegion {
      Objects.requireNonNull(measure, "measure");
      Require.margin("trust region: low", low);
      Require.margin("trust region: high", high);
      Require.offOrPositive("trust region: ratioMax", ratioMax);
    }
  }

  /**
   * {@code -A sg(phi) x} with one weight phi for a sequence: {@code phi = exp(rate + shape ln W -
   * rate W)}, where ln W is the sum over the sequence of clamped log-ratios and logarithms of the
   * weights, within [ln 1e-8, 20]. Sequences far off policy, either way, fade out. TRL {@code
   * vespo}. Needs {@link RatioLevel#SEQUENCE}.
   *
   * @param shapePositive shape where {@code A >= 0}; 2 in TRL
   * @param ratePositive rate where {@code A >= 0}; 3 in TRL
   * @param shapeNegative shape where {@code A < 0}; 3 in TRL
   * @param rateNegative rate where {@code A < 0}; 2 in TRL
   */
  record GammaWeight(
      float shapePositive, float ratePositive, float shapeNegative, float rateNegative)
      implements Surrogate {
    /**
     * Checks the parameters.
     *
     * @param shapePositive see the record
     * @param ratePositive see the record
     * @param shapeNegative see the record
     * @param rateNegative see the record
     * @throws IllegalArgumentException if a shape is not finite, or a rate not finite and > 0
     */
    public GammaWeight {
      Require.finite("shapePositive", shapePositive);
      Require.positive("ratePositive", ratePositive);
      Require.finite("shapeNegative", shapeNegative);
      Require.positive("rateNegative", rateNegative);
    }

    @Override
    public boolean needsSequenceRatio() {
      return true;
    }
  }

  /**
   * {@code (scale D - A)^2} with D the sum of the sequence's log-ratios: the reward that the policy
   * implies is fitted to A by least squares. Every token of a sequence has this loss, so {@link
   * Normalizer#sequences} gives the mean over sequences. D is not exponentiated, hence never
   * clamped, and the clip has no meaning. Needs {@link RatioLevel#SEQUENCE}.
   *
   * <p>SPPO (Wu et al. 2024) has scale 1 and eta times the reward as A; GVPO (Zhang et al. 2025)
   * has scale beta, and for A see {@code dev.polka.policy.Gvpo}.
   *
   * @param scale what D is multiplied by
   */
  record Regression(float scale) implements Surrogate {
    /**
     * Checks the parameter.
     *
     * @param scale see the record
     * @throws IllegalArgumentException if it is not finite and > 0
     */
    public Regression {
      Require.positive("scale", scale);
    }

    @Override
    public boolean needsSequenceRatio() {
      return true;
    }
  }

  /**
   * Whether the surrogate is defined for the ratio of a sequence only.
   *
   * @return true for {@link Basic#GEOMETRIC_MEAN}, {@link GammaWeight} and {@link Regression}
   */
  default boolean needsSequenceRatio() {
    return false;
  }
}
