package dev.polka.train.config;

/**
 * AdamW (Loshchilov and Hutter, 2019) with gradient clipping and a learning-rate schedule.
 *
 * @param learningRate the highest rate, above 0
 * @param warmupSteps updates over which the rate rises linearly to {@code learningRate}
 * @param schedule what the rate does afterwards
 * @param finalShare the rate at the last update as a share of {@code learningRate}, in [0, 1]; not
 *     used by {@link Schedule#CONSTANT}
 * @param beta1 decay of the first moment, in [0, 1)
 * @param beta2 decay of the second moment, in [0, 1)
 * @param epsilon added to the square root of the second moment, above 0
 * @param weightDecay decoupled decay, at least 0
 * @param gradientClip largest norm of the whole gradient, above 0; larger ones are scaled down
 */
public record OptimizerSettings(
    double learningRate,
    int warmupSteps,
    Schedule schedule,
    double finalShare,
    double beta1,
    double beta2,
    double epsilon,
    double weightDecay,
    double gradientClip) {

  /** What the learning rate does after the warm-up. */
  public enum Schedule {
    /** Stays. */
    CONSTANT,
    /** Falls in a straight line. */
    LINEAR,
    /** Falls along half a cosine. */
    COSINE
  }

  /**
   * The defaults: a rate for models of some ten thousand parameters, the rest as the paper has it.
   *
   * @return rate 1e-3, 10 updates of warm-up, constant, betas 0.9 and 0.999, epsilon 1e-8, weight
   *     decay 0.1, gradient norm 1
   */
  public static OptimizerSettings defaults() {
    return new OptimizerSettings(1e-3, 10, Schedule.CONSTANT, 0.1, 0.9, 0.999, 1e-8, 0.1, 1);
  }

  /**
   * The learning rate of an update.
   *
   * @param update which one, from 0
   * @param updates how many the stage makes
   * @return {@code learningRate * (update + 1) / warmupSteps} during the warm-up, afterwards what
   *     the schedule says; the last update has {@code finalShare} of the highest rate
   */
  public double learningRateAt(long update, long updates) {
    if (update < warmupSteps) {
      return learningRate * (update + 1) / warmupSteps;
    }
    double span = Math.max(1, updates - 1 - warmupSteps);
    double progress = Math.min(1, (update - warmupSteps) / span);
    double share =
        switch (schedule) {
          case CONSTANT -> 1;
          case LINEAR -> 1 - progress;
          case COSINE -> (1 + Math.cos(Math.PI * progress)) / 2;
        };
    double floor = schedule == Schedule.CONSTANT ? 0 : finalShare;
    return learningRate * (floor + (1 - floor) * share);
  }
}
