package dev.polka.policy;

import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Singleton;
import java.util.Objects;

/**
 * REINFORCE++-baseline (Hu et al. 2025): centred by the mean of the group, then whitened over all
 * tokens of the step, so that all prompts share one scale.
 *
 * <pre>{@code A_t = (c_i - mean c) / sqrt(var c + 1e-8), c_i = R_i - mean of its group}</pre>
 *
 * <p>Mean and variance are over tokens, so that a long answer counts more. Whitening is over n - 1
 * in verl, over n with a floor of 1e-8 in OpenRLHF ({@code reinforce_baseline}) and NeMo-RL. A
 * singleton keeps its raw reward in verl: {@code withSingleton(Singleton.RAW)}.
 *
 * <p>Immutable and thread-safe.
 */
public final class ReinforcePlusPlusBaseline implements AdvantageEstimator {
  private final GroupAdvantage group;
  private final Whitening whitening; // null: none

  private ReinforcePlusPlusBaseline(GroupAdvantage group, Whitening whitening) {
    this.group = group;
    this.whitening = whitening;
  }

  /** {@return the estimator: {@link Whitening#unbiased}, singletons at 0 before it} */
  public static ReinforcePlusPlusBaseline standard() {
    return new ReinforcePlusPlusBaseline(GroupAdvantage.drGrpo(), Whitening.unbiased());
  }

  /**
   * Chooses what a group with one reward has before whitening.
   *
   * @param singleton the policy
   * @return the estimator with it
   */
  public ReinforcePlusPlusBaseline withSingleton(Singleton singleton) {
    Objects.requireNonNull(singleton, "singleton");
    return new ReinforcePlusPlusBaseline(group.withSingleton(singleton), whitening);
  }

  /**
   * Chooses the whitening.
   *
   * @param whitening how; the batch must be the whole step
   * @return the estimator with it
   */
  @Override
  public ReinforcePlusPlusBaseline withWhitening(Whitening whitening) {
    return new ReinforcePlusPlusBaseline(group, Objects.requireNonNull(whitening, "whitening"));
  }

  /**
   * Leaves the whitening to {@link Advantages#whitened(Whitening, Moments)}, for a step in several
   * parts.
   *
   * @return the estimator without it
   */
  public ReinforcePlusPlusBaseline withoutWhitening() {
    return new ReinforcePlusPlusBaseline(group, null);
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    Advantages centered = OutcomeAdvantage.of(group).forward(batch);
    return whitening == null ? centered : centered.whitened(whitening);
  }
}
