package dev.polka.train.config;

import java.util.List;

/**
 * Reinforcement from verified responses by group-relative policy optimization (Shao et al.,
 * DeepSeekMath, 2024), with the options of its successors.
 *
 * @param name of the stage
 * @param from the model or stage it starts from
 * @param steps how often rollouts are made anew
 * @param rollouts what is sampled per step; {@code samples} is the group size
 * @param updatesPerStep optimizer updates per step: the rollouts are cut into this many parts, by
 *     whole groups
 * @param objective the loss
 * @param reference the stage or model that the KL penalty keeps close to; null for {@code from}
 * @param optimizer how the weights are updated
 */
public record Grpo(
    String name,
    String from,
    int steps,
    RolloutSettings rollouts,
    int updatesPerStep,
    PolicyObjective objective,
    String reference,
    OptimizerSettings optimizer)
    implements Stage {
  @Override
  public List<String> consults() {
    return objective.klCoefficient() > 0 ? List.of(referenceName()) : List.of();
  }

  /**
   * The stage or model that the KL penalty keeps close to.
   *
   * @return {@code reference}, or {@code from} if that is null
   */
  public String referenceName() {
    return reference == null ? from : reference;
  }

  @Override
  public long scoredRollouts() {
    return Math.multiplyExact((long) steps, rollouts.responses());
  }
}
