package dev.polka.train.checkpoint;

import java.nio.file.Path;

/**
 * A checkpoint on disk, whole and verified.
 *
 * @param directory its directory, which later saves may delete
 * @param state where the run was
 */
public record Checkpoint(Path directory, TrainingState state) {
  /** Name of the weights' file. */
  public static final String MODEL = "model.safetensors";

  /** Name of the file of the optimizer's moments. */
  public static final String OPTIMIZER = "optimizer.safetensors";

  /**
   * The weights.
   *
   * @return path of {@value #MODEL}
   */
  public Path model() {
    return directory.resolve(MODEL);
  }

  /**
   * The optimizer's moments.
   *
   * @return path of {@value #OPTIMIZER}
   */
  public Path optimizer() {
    return directory.resolve(OPTIMIZER);
  }
}
