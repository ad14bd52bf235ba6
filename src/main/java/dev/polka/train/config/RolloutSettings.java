package dev.polka.train.config;

import dev.polka.train.data.Split;

/**
 * What is sampled for one step of a stage.
 *
 * @param split the problems that prompts are drawn from
 * @param prompts problems per step, at least 1
 * @param samples responses per problem: the group size of GRPO, at least 1
 * @param temperature of sampling and of the log-probs trained on, above 0
 */
public record RolloutSettings(Split split, int prompts, int samples, double temperature) {
  /**
   * Responses per step.
   *
   * @return {@code prompts * samples}
   */
  public int responses() {
    return Math.multiplyExact(prompts, samples);
  }
}
