package dev.polka.policy;

import dev.polka.kernel.EpsilonPlacement;
import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.KlGradient;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.Singleton;
import dev.polka.policy.ImportanceWeight.Level;
import dev.polka.policy.ImportanceWeight.Outside;
import java.util.List;

/**
 * The policy update of GRPO by the defaults of each system, as its code stood in summer 2026, so
 * that a run can move to the JVM without changing its numbers by accident. Polka's own choices,
 * which hold where a preset says nothing: statistics in f64, exactly 0 for a group without
 * variance, masks select, normalizers of the whole step.
 *
 * <p>Where a system's default cannot be had or should not, the preset says so. {@link #all} lists
 * them.
 *
 * <p>Thread-safe.
 */
public final class Presets {
  private Presets() {}

  private static AdvantageEstimator grpo(double epsilon, Singleton singleton) {
    return OutcomeAdvantage.of(
        GroupAdvantage.grpo()
            .withEpsilon(epsilon, EpsilonPlacement.OUTSIDE)
            .withSingleton(singleton));
  }

  private static AdvantageEstimator meanOnly() {
    return OutcomeAdvantage.of(GroupAdvantage.drGrpo());
  }

  private static KlController noKl() {
    return KlController.fixed(0);
  }

  /**
   * verl: {@code adv_estimator=grpo}, epsilon 1e-6, a singleton keeps its reward; ratios clipped to
   * [0.8, 1.2], dual clip 3, log-ratios held in [-20, 20]; {@code token-mean}; {@code
   * use_kl_loss=False} and {@code use_kl_in_reward=False}; {@code rollout_is=null}. With {@code
   * use_kl_loss}: {@code loss().withKl(KlEstimator.K3,
   * 1e-3).withKlGradient(PATHWISE).withK3Max(10)}.
   *
   * @return the preset
   */
  public static Preset verl() {
    return new Preset(
        "verl",
        grpo(1e-6, Singleton.RAW),
        PolicyLoss.ppo().withDualClip(3),
        Aggregation.tokenMean(),
        OffPolicyCorrection.none(),
        noKl());
  }

  /**
   * TRL's {@code GRPOTrainer}: {@code scale_rewards="group"}, epsilon 1e-4, a singleton gets 0;
   * {@code epsilon=0.2} on both sides, log-ratios not held; {@code loss_type="dapo"}: the mean over
   * tokens of the step; {@code beta=0}; {@code vllm_importance_sampling_mode="sequence_mask"} at 3,
   * by which a sequence is weighed or dropped. TRL does not hold the log of a sequence's weight in
   * [-20, 20]; above 3 it is dropped either way.
   *
   * @return the preset
   */
  public static Preset trl() {
    return new Preset(
        "TRL",
        grpo(1e-4, Singleton.ZERO),
        PolicyLoss.grpo().withMaxLogRatio(PolicyLoss.NONE),
        Aggregation.tokenMean(),
        OffPolicyCorrection.none().withWeights(ImportanceWeight.maskedSequences(3)),
        noKl());
  }

  /**
   * OpenRLHF with {@code --advantage_estimator group_norm}: epsilon 1e-9, a singleton gets 0 (NaN
   * there); {@code eps_clip=0.2} on both sides, log-ratios held in [-20, 20]; mean over tokens; KL
   * of weight 0.01 ({@code init_kl_coef}) on the tokens, after the normalisation of the group.
   * OpenRLHF clamps each k1 to [-10, 10].
   *
   * @return the preset
   */
  public static Preset openRlhf() {
    return new Preset(
        "OpenRLHF",
        grpo(1e-9, Singleton.ZERO),
        PolicyLoss.ppo(),
        Aggregation.tokenMean(),
        OffPolicyCorrection.none(),
        KlController.fixed(0.01));
  }

  /**
   * NeMo-RL: {@code use_leave_one_out_baseline} and {@code normalize_rewards}, epsilon 1e-6, where
   * a leave-one-out std of 0 does not divide; {@code ratio_clip_min} and {@code ratio_clip_max}
   * 0.2, log-ratios not held; mean over tokens; {@code reference_policy_kl_penalty=0.01} of k3,
   * held to 10 and weighted by {@code exp(log_prob - sg(log_prob))}: the value is that of k3, the
   * gradient that of k2.
   *
   * @return the preset
   */
  public static Preset nemoRl() {
    return new Preset(
        "NeMo-RL",
        OutcomeAdvantage.of(GroupAdvantage.grpoLeaveOneOut()),
        PolicyLoss.grpo()
            .withMaxLogRatio(PolicyLoss.NONE)
            .withKl(KlEstimator.K3, 0.01)
            .withKlGradient(KlGradient.STRAIGHT_THROUGH_K2)
            .withK3Max(10),
        Aggregation.tokenMean(),
        OffPolicyCorrection.none(),
        noKl());
  }

  /**
   * slime: {@code grpo_std_normalization}, epsilon 1e-6; {@code eps_clip=0.2}, log-ratios not held;
   * means over the tokens of each sequence, averaged over the global batch, empty sequences
   * included; {@code kl_loss_coef=0}; {@code use_tis} off.
   *
   * @return the preset
   */
  public static Preset slime() {
    return new Preset(
        "slime",
        grpo(1e-6, Singleton.ZERO),
        PolicyLoss.grpo().withMaxLogRatio(PolicyLoss.NONE),
        Aggregation.sequenceMeanTokenMean().withEmptySequences(),
        OffPolicyCorrection.none(),
        noKl());
  }

  /**
   * prime-rl: the mean of the group alone; tokens whose probability has moved by more than 0.2 in
   * the direction of the advantage are dropped (DPPO), measured from the sampler, and {@code
   * kl_tau=1e-3} times the squared distance from it; mean over tokens. The anchor acts on dropped
   * tokens too.
   *
   * @return the preset
   */
  public static Preset primeRl() {
    return new Preset(
        "prime-rl",
        meanOnly(),
        PolicyLoss.dppoTv().withMaxLogRatio(PolicyLoss.NONE).withAnchor(KlEstimator.K2, 2e-3),
        Aggregation.tokenMean(),
        OffPolicyCorrection.none().withBypass(),
        noKl());
  }

  /**
   * ROLL: group mean and std, epsilon 1e-6, a singleton gets 0 (NaN there); {@code pg_clip=0.2},
   * log-ratios not held; {@code seq-mean-token-mean}; {@code use_kl_loss=False}. With {@code
   * dual_clip_loss}: {@code loss().withDualClip(1.4f)}.
   *
   * @return the preset
   */
  public static Preset roll() {
    return new Preset(
        "ROLL",
        grpo(1e-6, Singleton.ZERO),
        PolicyLoss.grpo().withMaxLogRatio(PolicyLoss.NONE),
        Aggregation.sequenceMeanTokenMean(),
        OffPolicyCorrection.none(),
        noKl());
  }

  /**
   * SkyRL: group mean and std, epsilon 1e-6, a singleton keeps its reward; {@code eps_clip=0.2} on
   * both sides, log-ratios held in [-20, 20]; {@code token_mean}; {@code use_kl_loss=True} at 1e-3
   * of k3, differentiated as it stands and held to 10. SkyRL averages that term over sequences
   * whatever the loss is averaged over; here it follows the loss.
   *
   * @return the preset
   */
  public static Preset skyRl() {
    return new Preset(
        "SkyRL",
        grpo(1e-6, Singleton.RAW),
        PolicyLoss.ppo()
            .withKl(KlEstimator.K3, 1e-3)
            .withKlGradient(KlGradient.PATHWISE)
            .withK3Max(10),
        Aggregation.tokenMean(),
        OffPolicyCorrection.none(),
        noKl());
  }

  /**
   * AReaL: group mean and std, epsilon 1e-5; decoupled PPO: ratios to the proximal policy clipped
   * to [0.8, 1.2], log-ratios not held, weights of tokens from the sampler to it, those above 5
   * dropped; mean over tokens (AReaL's is that of the micro-batch); k1 of weight 0.1 ({@code
   * kl_ctl}) on the tokens, after the normalisation of the group.
   *
   * @return the preset
   */
  public static Preset areal() {
    return new Preset(
        "AReaL",
        grpo(1e-5, Singleton.ZERO),
        PolicyLoss.ppo().withMaxLogRatio(PolicyLoss.NONE),
        Aggregation.tokenMean(),
        OffPolicyCorrection.none()
            .withWeights(new ImportanceWeight(Level.TOKEN, 0, 5, Outside.ZERO)),
        KlController.fixed(0.1));
  }

  /**
   * The tinker cookbook: the mean of the group alone; {@code loss_fn="importance_sampling"}, {@code
   * -A r} with the ratio to the sampler; the sum over tokens. The loss runs on tinker's servers;
   * its formula is in the documentation.
   *
   * @return the preset
   */
  public static Preset tinker() {
    return new Preset(
        "tinker",
        meanOnly(),
        PolicyLoss.importanceSampling().withMaxLogRatio(PolicyLoss.NONE),
        Aggregation.tokenSum(),
        OffPolicyCorrection.none().withBypass(),
        noKl());
  }

  /** {@return all presets} */
  public static List<Preset> all() {
    return List.of(
        verl(),
        trl(),
        openRlhf(),
        nemoRl(),
        slime(),
        primeRl(),
        roll(),
        skyRl(),
        areal(),
        tinker());
  }
}
