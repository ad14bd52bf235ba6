package dev.polka.train.checkpoint;

import java.util.Map;

/**
 * Where a run is. All randomness is a function of its position, so together with the weights, the
 * optimizer's moments and the configuration this is everything.
 *
 * @param configHash fingerprint of the configuration
 * @param seed the seed being trained
 * @param stage name of the stage being trained
 * @param arm name of the arm the stage was reached for; empty where several share it
 * @param step steps of the stage that are done
 * @param dataPosition problems of the training sequence that have been drawn in this stage
 * @param metricsLength length of {@code metrics.jsonl} in bytes after that step; what is beyond was
 *     written by steps that will be done again
 * @param timingLength the same for {@code timing.jsonl}
 * @param counters further numbers of the stage, such as optimizer updates; in any order
 */
public record TrainingState(
    String configHash,
    long seed,
    String stage,
    String arm,
    long step,
    long dataPosition,
    long metricsLength,
    long timingLength,
    Map<String, Long> counters) {
  /** Version of the layout of {@code state.json}; another one is refused. */
  public static final int SCHEMA = 1;

  /**
   * Checks the values.
   *
   * @param configHash fingerprint of the configuration
   * @param seed the seed being trained
   * @param stage name of the stage being trained
   * @param arm name of the arm the stage was reached for
   * @param step steps of the stage that are done
   * @param dataPosition problems of the training sequence that have been drawn in this stage
   * @param metricsLength length of {@code metrics.jsonl} in bytes after that step
   * @param timingLength the same for {@code timing.jsonl}
   * @param counters further numbers of the stage
   */
  public TrainingState {
    counters = Map.copyOf(counters);
  }
}
