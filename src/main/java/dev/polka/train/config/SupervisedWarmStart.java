package dev.polka.train.config;

import dev.polka.train.data.DigitNoise;
import dev.polka.train.data.Split;
import java.util.List;

/**
 * Teaches the format and part of the skill by cross-entropy on solutions, so that reinforcement has
 * something to reinforce.
 *
 * @param name of the stage
 * @param from the model or stage it starts from
 * @param steps number of updates
 * @param split the problems whose solutions are taught
 * @param batch problems per update
 * @param digitNoise share of digits replaced in what is taught ({@link DigitNoise})
 * @param optimizer how the weights are updated
 */
public record SupervisedWarmStart(
    String name,
    String from,
    int steps,
    Split split,
    int batch,
    double digitNoise,
    OptimizerSettings optimizer)
    implements Stage {
  @Override
  public List<String> consults() {
    return List.of();
  }
}
