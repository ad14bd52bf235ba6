package dev.polka.train.config;

import dev.polka.train.data.Split;

/**
 * How every arm is evaluated: the mean score of {@code samples} responses to each of the same
 * held-out problems (avg@k).
 *
 * @param split the part of the problems, {@code TEST} or {@code VALIDATION}
 * @param problems how many of them
 * @param samples responses per problem
 * @param temperature of sampling; 0 for the most probable token
 * @param everySteps a stage is also evaluated each time this many steps are done; 0 for at its end
 *     only
 */
public record EvaluationSettings(
    Split split, int problems, int samples, double temperature, int everySteps) {
  /**
   * The defaults.
   *
   * @return 500 test problems, 1 response each at temperature 1, at the end of each stage
   */
  public static EvaluationSettings defaults() {
    return new EvaluationSettings(Split.TEST, 500, 1, 1, 0);
  }

  /**
   * The same settings for another number of problems.
   *
   * @param count how many problems
   * @return the settings
   */
  public EvaluationSettings withProblems(int count) {
    return new EvaluationSettings(split, count, samples, temperature, everySteps);
  }
}
