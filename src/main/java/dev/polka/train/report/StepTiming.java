package dev.polka.train.report;

import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;

/**
 * Where the time of one training step went.
 *
 * @param seed the seed
 * @param stage name of the stage
 * @param step steps of the stage that are done, from 1
 * @param seconds of the whole step
 * @param phases seconds of its parts; what is not in one of them is the rest
 * @param tokens tokens generated and trained on
 */
public record StepTiming(
    long seed, String stage, long step, double seconds, Map<Phase, Double> phases, long tokens) {
  /**
   * Checks the values.
   *
   * @param seed the seed
   * @param stage name of the stage
   * @param step steps of the stage that are done
   * @param seconds of the whole step
   * @param phases seconds of its parts
   * @param tokens tokens generated and trained on
   */
  public StepTiming {
    var copy = new EnumMap<Phase, Double>(Phase.class);
    copy.putAll(phases);
    phases = Collections.unmodifiableMap(copy);
  }
}
