package dev.polka.train.config;

import java.util.List;

/**
 * A step of a pipeline that trains one model. The stages are those of the sparse-to-dense recipe
 * (arXiv 2605.12483): a supervised start, reinforcement by GRPO, forward-KL warm-up on the
 * teacher's rollouts, distillation on the student's own rollouts, and the replay control.
 */
public sealed interface Stage
    permits SupervisedWarmStart, Grpo, ForwardKlWarmup, OnPolicyDistillation, Replay {
  /**
   * The name by which other stages and arms refer to this one.
   *
   * @return lower case with hyphens
   */
  String name();

  /**
   * What the weights are at the start.
   *
   * @return the name of an earlier stage, whose result is taken over, or of a model, for its first
   *     weights
   */
  String from();

  /**
   * How often the rollouts are made anew; the length of the stage.
   *
   * @return at least 1
   */
  int steps();

  /**
   * How the weights are updated.
   *
   * @return the optimizer's settings
   */
  OptimizerSettings optimizer();

  /**
   * The other models that this stage reads.
   *
   * @return names of earlier stages or models, each once, possibly none
   */
  List<String> consults();

  /**
   * Responses that the whole stage has verified for its training signal.
   *
   * @return a number of responses; 0 where no reward is used
   */
  default long scoredRollouts() {
    return 0;
  }

  /**
   * What the configuration calls this kind of stage.
   *
   * @return the value of its key {@code kind}
   */
  default StageKind kind() {
    return StageKind.of(this);
  }
}
