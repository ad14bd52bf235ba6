package dev.polka.train.config;

/** The kinds of stage, by the names that the configuration gives them. */
public enum StageKind {
  /** {@link SupervisedWarmStart}. */
  SUPERVISED_WARM_START,
  /** {@link Grpo}. */
  GRPO,
  /** {@link ForwardKlWarmup}. */
  FORWARD_KL_WARMUP,
  /** {@link OnPolicyDistillation}. */
  ON_POLICY_DISTILLATION,
  /** {@link Replay}. */
  REPLAY;

  static StageKind of(Stage stage) {
    if (stage instanceof SupervisedWarmStart) {
      return SUPERVISED_WARM_START;
    } else if (stage instanceof Grpo) {
      return GRPO;
    } else if (stage instanceof ForwardKlWarmup) {
      return FORWARD_KL_WARMUP;
    } else if (stage instanceof OnPolicyDistillation) {
      return ON_POLICY_DISTILLATION;
    }
    return REPLAY;
  }
}
