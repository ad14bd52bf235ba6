package dev.polka.policy;

import dev.polka.kernel.PolicyLoss;
import java.util.Objects;

/**
 * All that makes up one policy update, by the choices of one system: how rewards become advantages,
 * what is minimised, how tokens are averaged, how the sampler's log-probs are corrected for, and
 * the weight of the KL penalty in the reward. Each part can be replaced on its own:
 *
 * <pre>{@code
 * Preset trl = Presets.trl();
 * Advantages advantages = trl.advantages().forward(rewards);
 * Correction correction = trl.correction().apply(layout, old, rollout);
 * PolicyLoss loss = trl.loss().withClip(0.2f, 0.28f);
 * Normalizer normalizer = trl.aggregation().normalizer(totals, layout);
 * }</pre>
 *
 * <p>Immutable and thread-safe.
 *
 * @param name the system
 * @param advantages from rewards to advantages
 * @param loss what is minimised
 * @param aggregation how token losses become one number
 * @param correction for a sampler that is not the policy which trains
 * @param rewardKl the weight of the k1 penalty on token rewards; 0 where there is none
 */
public record Preset(
    String name,
    AdvantageEstimator advantages,
    PolicyLoss loss,
    Aggregation aggregation,
    OffPolicyCorrection correction,
    KlController rewardKl) {

  /**
   * Checks that every part is there.
   *
   * @param name the system
   * @param advantages from rewards to advantages
   * @param loss what is minimised
   * @param aggregation how token losses become one number
   * @param correction for a sampler that is not the policy which trains
   * @param rewardKl the weight of the k1 penalty on token rewards
   * @throws NullPointerException if a part is null
   */
  public Preset {
    Objects.requireNonNull(name, "name");
    Objects.requireNonNull(advantages, "advantages");
    Objects.requireNonNull(loss, "loss");
    Objects.requireNonNull(aggregation, "aggregation");
    Objects.requireNonNull(correction, "correction");
    Objects.requireNonNull(rewardKl, "rewardKl");
  }
}
