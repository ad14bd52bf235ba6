package dev.polka.train.config;

import dev.polka.train.data.Split;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Reads the stages of a pipeline. */
final class StageReader {
  private static final double INFINITY = Double.MAX_VALUE;
  private static final int MOST = Integer.MAX_VALUE;

  private StageReader() {}

  static Stage stage(ConfigNode node, OptimizerSettings optimizer) {
    // The kind decides which keys there are, so it is read before the keys are checked.
    node.names();
    if (!node.has("kind")) {
      node.keys("kind");
    }
    return switch (node.choice("kind", StageKind.class)) {
      case SUPERVISED_WARM_START -> warmStart(node, optimizer);
      case GRPO -> grpo(node, optimizer);
      case FORWARD_KL_WARMUP -> forwardKl(node, optimizer);
      case ON_POLICY_DISTILLATION -> distillation(node, optimizer);
      case REPLAY -> replay(node, optimizer);
    };
  }

  private static void keys(ConfigNode node, String... more) {
    List<String> keys = new ArrayList<>(List.of("kind", "name", "from", "steps", "optimizer"));
    keys.addAll(Arrays.asList(more));
    node.keys(keys.toArray(String[]::new));
  }

  private static Stage warmStart(ConfigNode node, OptimizerSettings optimizer) {
    keys(node, "split", "batch", "digitNoise");
    return new SupervisedWarmStart(
        node.text("name"),
        node.text("from"),
        node.integer("steps", 1, MOST),
        node.choice("split", Split.class, Split.TRAIN),
        node.integer("batch", 128, 1, MOST),
        node.number("digitNoise", 0, 0, 1),
        optimizer(node.child("optimizer"), optimizer));
  }

  private static Stage grpo(ConfigNode node, OptimizerSettings optimizer) {
    keys(node, "rollouts", "updatesPerStep", "objective", "reference");
    RolloutSettings rollouts = rollouts(node.child("rollouts"), 8);
    Grpo stage =
        new Grpo(
            node.text("name"),
            node.text("from"),
            node.integer("steps", 1, MOST),
            rollouts,
            node.integer("updatesPerStep", 1, 1, MOST),
            objective(node.child("objective")),
            node.text("reference", null),
            optimizer(node.child("optimizer"), optimizer));
    if (rollouts.samples() < 2) {
      throw node.error("rollouts", "has 1 sample; a group of at least 2 is compared");
    }
    if (stage.updatesPerStep() > rollouts.prompts()) {
      throw node.error(
          "updatesPerStep",
          "is " + stage.updatesPerStep() + ", more than the prompts, " + rollouts.prompts());
    }
    if (stage.reference() != null && stage.objective().klCoefficient() == 0) {
      throw node.error("reference", "is not used: objective.klCoefficient is 0");
    }
    return stage;
  }

  private static Stage forwardKl(ConfigNode node, OptimizerSettings optimizer) {
    keys(node, "teacher", "rollouts");
    return new ForwardKlWarmup(
        node.text("name"),
        node.text("from"),
        node.text("teacher"),
        node.integer("steps", 1, MOST),
        rollouts(node.child("rollouts"), 1),
        optimizer(node.child("optimizer"), optimizer));
  }

  private static Stage distillation(ConfigNode node, OptimizerSettings optimizer) {
    keys(
        node,
        "teachers",
        "rollouts",
        "divergence",
        "jsdBeta",
        "rewardScale",
        "reference",
        "importanceClip");
    OnPolicyDistillation stage =
        new OnPolicyDistillation(
            node.text("name"),
            node.text("from"),
            node.texts("teachers"),
            node.integer("steps", 1, MOST),
            rollouts(node.child("rollouts"), 1),
            node.choice(
                "divergence",
                OnPolicyDistillation.Divergence.class,
                OnPolicyDistillation.Divergence.REVERSE_KL),
            node.numberAbove("jsdBeta", 0.5, 0, Math.nextDown(1.0)),
            node.numberAbove("rewardScale", 1, 0, INFINITY),
            node.text("reference", null),
            node.numberAbove("importanceClip", 5, 0, INFINITY),
            optimizer(node.child("optimizer"), optimizer));
    if (stage.teachers().isEmpty()) {
      throw node.error("teachers", "is empty; at least one is needed");
    }
    if (stage.rewardScale() != 1 && stage.reference() == null) {
      throw node.error(
          "rewardScale", "is " + stage.rewardScale() + ", which needs a reference to scale from");
    }
    return stage;
  }

  private static Stage replay(ConfigNode node, OptimizerSettings optimizer) {
    keys(node, "repeats");
    return new Replay(
        node.text("name"),
        node.text("from"),
        node.text("repeats"),
        node.integer("steps", 1, MOST),
        optimizer(node.child("optimizer"), optimizer));
  }

  private static RolloutSettings rollouts(ConfigNode node, int samples) {
    node.keys("split", "prompts", "samples", "temperature");
    return new RolloutSettings(
        node.choice("split", Split.class, Split.TRAIN),
        node.integer("prompts", 24, 1, 1 << 20),
        node.integer("samples", samples, 1, 1 << 10),
        node.numberAbove("temperature", 1, 0, INFINITY));
  }

  private static PolicyObjective objective(ConfigNode node) {
    node.keys(
        "advantage",
        "average",
        "clipLow",
        "clipHigh",
        "dualClip",
        "klCoefficient",
        "klEstimator",
        "entropyCoefficient");
    PolicyObjective plain = PolicyObjective.defaults();
    double dualClip = node.number("dualClip", plain.dualClip(), 0, INFINITY);
    if (dualClip != 0 && dualClip <= 1) {
      throw node.error("dualClip", "is " + dualClip + ", must be 0 (none) or above 1");
    }
    return new PolicyObjective(
        node.choice("advantage", PolicyObjective.Advantage.class, plain.advantage()),
        node.choice("average", PolicyObjective.Average.class, plain.average()),
        node.number("clipLow", plain.clipLow(), 0, 1),
        node.number("clipHigh", plain.clipHigh(), 0, INFINITY),
        dualClip,
        node.number("klCoefficient", plain.klCoefficient(), 0, INFINITY),
        node.choice("klEstimator", PolicyObjective.KlEstimate.class, plain.klEstimator()),
        node.number("entropyCoefficient", plain.entropyCoefficient(), 0, INFINITY));
  }

  static OptimizerSettings optimizer(ConfigNode node, OptimizerSettings plain) {
    node.keys(
        "learningRate",
        "warmupSteps",
        "schedule",
        "finalShare",
        "beta1",
        "beta2",
        "epsilon",
        "weightDecay",
        "gradientClip");
    double belowOne = Math.nextDown(1.0);
    return new OptimizerSettings(
        node.numberAbove("learningRate", plain.learningRate(), 0, INFINITY),
        node.integer("warmupSteps", plain.warmupSteps(), 0, MOST),
        node.choice("schedule", OptimizerSettings.Schedule.class, plain.schedule()),
        node.number("finalShare", plain.finalShare(), 0, 1),
        node.number("beta1", plain.beta1(), 0, belowOne),
        node.number("beta2", plain.beta2(), 0, belowOne),
        node.numberAbove("epsilon", plain.epsilon(), 0, INFINITY),
        node.number("weightDecay", plain.weightDecay(), 0, INFINITY),
        node.numberAbove("gradientClip", plain.gradientClip(), 0, INFINITY));
  }
}
