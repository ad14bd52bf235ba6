package dev.polka.policy;

import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.TokenLayout;
import java.util.Objects;

/**
 * All that makes up one policy update, by the choices of one system: how rewards become advantages,
 * what is minimised, how tokens are averaged, how the sampler's log-probs are corrected for, and
 * the weight of the KL penalty in the reward. Each part can be replaced on its own:
 *
 * <pre>{@code
 * Preset trl = Presets.trl();
 * Advantages advantages = trl.advantages(rewards, kl);
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
 * @param rewardKl the weight of the KL penalty on the rewards of tokens; 0 where there is none
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
   * @param rewardKl the weight of the KL penalty on the rewards of tokens
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

  /**
   * Advantages with the KL penalty, as the systems that have one apply it: the outcome is compared
   * with its group first, then each token pays for the KL from itself to the end,
   *
   * <pre>{@code A_t = A_i - beta sum_{k >= t} kl_k}</pre>
   *
   * so that a group without variance still feels the penalty, and no more than that.
   *
   * @param batch rewards, and what else the estimator needs
   * @param kl k1 estimates to the reference, {@code log_prob - ref}, one per row; not read where a
   *     row does not count, and nowhere if the weight is 0
   * @return one advantage per row
   * @throws IllegalArgumentException if the batch lacks something, or there is not one estimate per
   *     row
   */
  public Advantages advantages(RewardBatch batch, double... kl) {
    Advantages outcome = advantages.forward(batch);
    double beta = rewardKl.coefficient();
    if (beta == 0) {
      return outcome;
    }
    TokenLayout layout = batch.layout();
    layout.requireRows("kl", kl.length);
    double[] perRow = outcome.perRow();
    for (int b = 0; b < layout.sequences(); b++) {
      double toGo = 0;
      for (int t = layout.end(b) - 1; t >= layout.first(b); t--) {
        if (layout.counts(t)) {
          toGo += kl[t];
          perRow[t] -= beta * toGo;
        }
      }
    }
    return Advantages.of(layout, perRow);
  }
}
