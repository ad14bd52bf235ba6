package dev.polka.train.report;

import dev.polka.train.config.Pipeline;
import dev.polka.train.config.Stage;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * How each stage went: a few values in its first and in its last tenth, mean over seeds.
 *
 * @param rows one per trained stage, in training order
 */
record StageTable(List<Row> rows) {
  /**
   * One stage; a value that it does not have is empty.
   *
   * @param stage the stage
   * @param model the model it trains
   * @param score on held-out problems at its end
   * @param reward of its own responses, from first to last
   * @param kl to teacher or reference, from first to last
   * @param idle share of groups that taught nothing, from first to last
   * @param entropy of the policy, from first to last
   */
  record Row(
      Stage stage,
      String model,
      String score,
      String reward,
      String kl,
      String idle,
      String entropy) {}

  static StageTable of(Pipeline pipeline, RunRecords records) {
    List<Row> rows = new ArrayList<>();
    for (Stage stage : pipeline.trainedStages()) {
      List<StepMetrics> steps =
          records.steps().stream().filter(step -> step.stage().equals(stage.name())).toList();
      if (steps.isEmpty()) {
        continue;
      }
      rows.add(
          new Row(
              stage,
              pipeline.modelOf(stage.name()),
              score(records.evaluations(), pipeline, stage),
              fromTo(steps, stage, Metric.REWARD, "%.2f", 1),
              fromTo(steps, stage, Metric.KL, "%.3f", 1),
              fromTo(steps, stage, Metric.ZERO_ADVANTAGE_GROUPS, "%.0f%%", 100),
              fromTo(steps, stage, Metric.ENTROPY, "%.2f", 1)));
    }
    return new StageTable(List.copyOf(rows));
  }

  private static String score(List<Evaluation> evaluations, Pipeline pipeline, Stage stage) {
    List<Double> scores = new ArrayList<>();
    for (long seed : pipeline.seeds()) {
      Double score = ArmTable.score(evaluations, seed, stage.name());
      if (score != null) {
        scores.add(score);
      }
    }
    return scores.isEmpty() ? "" : new SeedScores(scores).text(false);
  }

  private static String fromTo(
      List<StepMetrics> steps, Stage stage, Metric metric, String format, double scale) {
    long tenth = Math.max(1, stage.steps() / 10);
    double first = mean(steps, metric, 0, tenth);
    double last = mean(steps, metric, stage.steps() - tenth, stage.steps());
    if (Double.isNaN(first)) {
      return "";
    }
    String from = String.format(Locale.ROOT, format, scale * first);
    return Double.isNaN(last)
        ? from
        : from + " \u2192 " + String.format(Locale.ROOT, format, scale * last);
  }

  private static double mean(List<StepMetrics> steps, Metric metric, long after, long upTo) {
    return steps.stream()
        .filter(step -> step.step() > after && step.step() <= upTo)
        .filter(step -> step.values().containsKey(metric))
        .mapToDouble(step -> step.values().get(metric))
        .average()
        .orElse(Double.NaN);
  }
}
