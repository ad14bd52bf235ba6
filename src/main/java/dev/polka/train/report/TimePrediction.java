package dev.polka.train.report;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * How long the rest of a run takes, from the steps timed so far: a stage that has run (for this
 * seed or another) is predicted by its own steps, otherwise by those of its kind and model,
 * otherwise by all. For one thread.
 */
public final class TimePrediction {
  // Recent steps count more: the last dozen or so.
  private static final double RECENT = 0.08;

  private final List<StageRun> plan;
  private final Map<Object, Double> secondsPerStep = new HashMap<>();
  private final Map<StageRun, Long> seen = new HashMap<>();

  private record KindAndModel(Object kind, String model) {}

  /**
   * A prediction for a plan.
   *
   * @param plan everything the run does, in order
   */
  public TimePrediction(List<StageRun> plan) {
    this.plan = List.copyOf(plan);
  }

  /**
   * Takes a timed step into account.
   *
   * @param run the stage it belongs to
   * @param seconds how long it took
   */
  public void observe(StageRun run, double seconds) {
    long before = seen.merge(run, 1L, Long::sum) - 1;
    for (Object key : keys(run)) {
      // The first step of a stage pays for code that is not compiled yet: replaced by the second.
      if (before == 1 && isFirstMeasured(run)) {
        secondsPerStep.put(key, seconds);
      } else {
        secondsPerStep.merge(key, seconds, (mean, step) -> mean + RECENT * (step - mean));
      }
    }
  }

  /**
   * The time left.
   *
   * @param current the stage being trained
   * @param done its steps that are done
   * @return seconds to the end of the run; empty before the first timed step
   */
  public OptionalDouble secondsLeft(StageRun current, long done) {
    if (secondsPerStep.isEmpty()) {
      return OptionalDouble.empty();
    }
    double seconds = (current.steps() - done) * estimate(current);
    for (StageRun run : plan) {
      if (run.index() > current.index()) {
        seconds += run.steps() * estimate(run);
      }
    }
    return OptionalDouble.of(seconds);
  }

  private boolean isFirstMeasured(StageRun run) {
    return seen.size() == 1 && seen.containsKey(run);
  }

  private double estimate(StageRun run) {
    for (Object key : keys(run)) {
      if (secondsPerStep.containsKey(key)) {
        return secondsPerStep.get(key);
      }
    }
    throw new IllegalStateException("nothing is measured"); // the last key is always there
  }

  private static List<Object> keys(StageRun run) {
    return List.of(run.stage(), new KindAndModel(run.kind(), run.model()), TimePrediction.class);
  }

  /**
   * Time as people say it.
   *
   * @param seconds a time, at least 0
   * @return such as {@code 45 s}, {@code 3 min 20 s} or {@code 2 h 05 min}
   */
  public static String shown(double seconds) {
    long s = Math.round(seconds);
    if (s < 60) {
      return s + " s";
    }
    if (s < 600) {
      return s / 60 + " min " + String.format("%02d s", s % 60);
    }
    long minutes = Math.round(s / 60.0);
    return minutes < 60
        ? minutes + " min"
        : minutes / 60 + " h " + String.format("%02d min", minutes % 60);
  }
}
