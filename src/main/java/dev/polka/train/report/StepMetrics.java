package dev.polka.train.report;

import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;

/**
 * The measured values of one training step.
 *
 * @param seed the seed
 * @param stage name of the stage
 * @param step steps of the stage that are done, from 1
 * @param values what was measured; what does not apply to the stage is left out
 */
public record StepMetrics(long seed, String stage, long step, Map<Metric, Double> values) {
  /**
   * Checks the values.
   *
   * @param seed the seed
   * @param stage name of the stage
   * @param step steps of the stage that are done
   * @param values what was measured
   */
  public StepMetrics {
    var copy = new EnumMap<Metric, Double>(Metric.class);
    copy.putAll(values);
    values = Collections.unmodifiableMap(copy);
  }

  /**
   * A step of which nothing has been measured yet.
   *
   * @param seed the seed
   * @param stage name of the stage
   * @param step steps of the stage that are done, from 1
   * @return the empty record
   */
  public static StepMetrics of(long seed, String stage, long step) {
    return new StepMetrics(seed, stage, step, Map.of());
  }

  /**
   * The same with one value more.
   *
   * @param metric what was measured
   * @param value its value; NaN and infinities are kept as they are
   * @return the extended record
   */
  public StepMetrics with(Metric metric, double value) {
    var more = new EnumMap<Metric, Double>(Metric.class);
    more.putAll(values);
    more.put(metric, value);
    return new StepMetrics(seed, stage, step, more);
  }
}
