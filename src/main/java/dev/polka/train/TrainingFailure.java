package dev.polka.train;

/**
 * Training cannot go on: a loss, a gradient or a model's logits are not finite, or a verifier
 * failed. The message says where; the last checkpoint is as it was.
 */
public final class TrainingFailure extends RuntimeException {
  private static final long serialVersionUID = 1;

  /**
   * A failure whose place is not known yet.
   *
   * @param message what went wrong, on one line
   */
  public TrainingFailure(String message) {
    super(message);
  }

  /**
   * The same failure with the place it happened in.
   *
   * @param seed the seed
   * @param stage name of the stage
   * @param step the step, from 1
   * @return a failure with the place before the message
   */
  public TrainingFailure at(long seed, String stage, long step) {
    TrainingFailure located =
        new TrainingFailure(
            "seed " + seed + ", stage '" + stage + "', step " + step + ": " + getMessage());
    located.setStackTrace(getStackTrace());
    if (getCause() != null) {
      located.initCause(getCause());
    }
    return located;
  }
}
