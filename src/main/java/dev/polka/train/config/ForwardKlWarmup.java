package dev.polka.train.config;

import java.util.List;

/**
 * Brings a student near its teacher: full-vocabulary forward KL(teacher || student) at every
 * response position of the teacher's rollouts (stage 2a of the recipe).
 *
 * @param name of the stage
 * @param from the model or stage the student starts from
 * @param teacher the stage or model that writes the rollouts and is imitated
 * @param steps number of updates, each on fresh rollouts
 * @param rollouts what the teacher samples per step
 * @param optimizer how the weights are updated
 */
public record ForwardKlWarmup(
    String name,
    String from,
    String teacher,
    int steps,
    RolloutSettings rollouts,
    OptimizerSettings optimizer)
    implements Stage {
  @Override
  public List<String> consults() {
    return List.of(teacher);
  }
}
