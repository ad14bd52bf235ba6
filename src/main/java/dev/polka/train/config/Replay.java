package dev.polka.train.config;

import java.util.List;

/**
 * The control for reinforcement after distillation: as many updates, no new labels. It goes on with
 * an earlier distillation stage, on the prompts that stage has seen.
 *
 * @param name of the stage
 * @param from the stage it starts from
 * @param repeats the distillation stage that is gone on with: its teachers, divergence and rollouts
 * @param steps number of further steps
 * @param optimizer how the weights are updated
 */
public record Replay(
    String name, String from, String repeats, int steps, OptimizerSettings optimizer)
    implements Stage {
  @Override
  public List<String> consults() {
    return List.of(repeats);
  }
}
