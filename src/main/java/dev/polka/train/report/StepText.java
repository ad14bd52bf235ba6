package dev.polka.train.report;

import java.util.Locale;
import java.util.OptionalDouble;
import java.util.StringJoiner;

/** What both displays say about a step; keeps the recent speed. For one thread. */
final class StepText {
  /** Stands between two values; a narrow display cuts there. */
  static final String SEPARATOR = "  ";

  private static final double RECENT = 0.2;

  private final TimePrediction prediction;
  private StageRun stage;
  private String narrow = "";
  private double tokensPerSecond;
  private double stageSeconds;

  StepText(TimePrediction prediction) {
    this.prediction = prediction;
  }

  void begin(StageRun next) {
    stage = next;
    narrow = "";
    tokensPerSecond = 0;
    stageSeconds = 0;
  }

  /** The values of a step, its speed and the time left. */
  String step(StepMetrics metrics, StepTiming timing) {
    prediction.observe(stage, timing.seconds());
    stageSeconds += timing.seconds();
    double speed = timing.tokens() / Math.max(1e-9, timing.seconds());
    tokensPerSecond =
        tokensPerSecond == 0 ? speed : tokensPerSecond + RECENT * (speed - tokensPerSecond);
    OptionalDouble left = prediction.secondsLeft(stage, metrics.step());
    narrow = narrow(metrics, left);
    StringJoiner values = new StringJoiner(SEPARATOR);
    left.ifPresent(seconds -> values.add("about " + TimePrediction.shown(seconds) + " left"));
    metrics
        .values()
        .forEach(
            (metric, value) -> {
              String shown = metric.shown(value);
              if (!shown.isEmpty()) {
                values.add(shown);
              }
            });
    values.add(speed(tokensPerSecond));
    return values.toString();
  }

  /** The last step's values in as few columns as they can be told apart in. */
  String narrow() {
    return narrow;
  }

  private String narrow(StepMetrics metrics, OptionalDouble left) {
    StringJoiner values = new StringJoiner(SEPARATOR);
    // What a still narrower terminal cuts off stands last.
    StringJoiner last = new StringJoiner(SEPARATOR).setEmptyValue("");
    metrics
        .values()
        .forEach(
            (metric, value) -> {
              String shown = metric.narrow(value);
              if (!shown.isEmpty()) {
                boolean spare = metric == Metric.LOSS || metric == Metric.GRADIENT_NORM;
                (spare ? last : values).add(shown);
              }
            });
    values.add(speed(tokensPerSecond).replace(" tok", "t"));
    left.ifPresent(seconds -> values.add(TimePrediction.shown(seconds) + " left"));
    return last.length() == 0 ? values.toString() : values + SEPARATOR + last;
  }

  /** The stage, its seed and its place in the run, in few columns. */
  String narrowHead() {
    return String.format(
        Locale.ROOT, "%d/%d s%d %s", stage.index(), stage.of(), stage.seed(), stage.stage());
  }

  /** Seed, stage and place in the run. */
  String head() {
    return String.format(
        Locale.ROOT, "[%d/%d] seed %d %s", stage.index(), stage.of(), stage.seed(), stage.stage());
  }

  String end(String outcome) {
    return head()
        + " done in "
        + TimePrediction.shown(stageSeconds)
        + (outcome.isEmpty() ? "" : ": " + outcome);
  }

  private static String speed(double tokensPerSecond) {
    return tokensPerSecond < 10_000
        ? String.format(Locale.ROOT, "%.0f tok/s", tokensPerSecond)
        : String.format(Locale.ROOT, "%.0fk tok/s", tokensPerSecond / 1000);
  }
}
