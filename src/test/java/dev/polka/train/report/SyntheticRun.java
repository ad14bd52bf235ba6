package dev.polka.train.report;

import dev.polka.train.RandomKey;
import dev.polka.train.config.Grpo;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.Stage;
import dev.polka.train.config.SupervisedWarmStart;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The logs of an imagined run, to lay a report out with. */
final class SyntheticRun {
  private SyntheticRun() {}

  static RunRecords of(Pipeline pipeline) {
    List<StepMetrics> steps = new ArrayList<>();
    List<Evaluation> evaluations = new ArrayList<>();
    List<StepTiming> timings = new ArrayList<>();
    for (long seed : pipeline.seeds()) {
      int place = 0;
      for (Stage stage : pipeline.trainedStages()) {
        place++;
        RandomKey key = RandomKey.ofSeed(seed).with(stage.name());
        double goal = 0.3 + 0.6 * place / pipeline.trainedStages().size();
        for (long step = 1; step <= stage.steps(); step++) {
          double done = (double) step / stage.steps();
          double noise = 0.05 * (key.uniform(step) - 0.5);
          StepMetrics metrics =
              StepMetrics.of(seed, stage.name(), step).with(Metric.LOSS, 1 - done + noise);
          if (stage instanceof Grpo) {
            metrics =
                metrics
                    .with(Metric.REWARD, goal * done + 0.05 + noise)
                    .with(Metric.CLIP_FRACTION, 0.02)
                    .with(Metric.ENTROPY, 0.9 - 0.6 * done + noise)
                    .with(Metric.ZERO_ADVANTAGE_GROUPS, 0.9 - 0.5 * done + noise);
          } else if (!(stage instanceof SupervisedWarmStart)) {
            metrics =
                metrics
                    .with(Metric.KL, 0.8 * Math.exp(-5 * done) + 0.02 + noise / 4)
                    .with(Metric.ENTROPY, 0.7 - 0.3 * done + noise);
          }
          steps.add(metrics);
          timings.add(
              new StepTiming(
                  seed,
                  stage.name(),
                  step,
                  0.05,
                  Map.of(
                      Phase.GENERATION,
                      0.02,
                      Phase.FORWARD_BACKWARD,
                      0.018,
                      Phase.LOSS,
                      0.002,
                      Phase.OPTIMIZER,
                      0.004,
                      Phase.CHECKPOINT,
                      0.003),
                  900));
        }
        double score = goal + 0.04 * (key.uniform(0) - 0.5);
        evaluations.add(
            new Evaluation(
                seed,
                stage.name(),
                stage.steps(),
                true,
                pipeline.evaluation().problems(),
                pipeline.evaluation().samples(),
                score));
      }
    }
    return new RunRecords(steps, evaluations, timings);
  }
}
