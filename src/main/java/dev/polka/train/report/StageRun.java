package dev.polka.train.report;

import dev.polka.train.config.Pipeline;
import dev.polka.train.config.Stage;
import dev.polka.train.config.StageKind;
import java.util.ArrayList;
import java.util.List;

/**
 * One stage of one seed, as a part of everything a run does.
 *
 * @param seed the seed
 * @param stage name of the stage
 * @param kind kind of the stage
 * @param model the model it trains
 * @param index which part of the run it is, from 1
 * @param of how many parts the run has
 * @param steps its steps
 */
public record StageRun(
    long seed, String stage, StageKind kind, String model, int index, int of, long steps) {
  /**
   * Everything that a run trains, in order: for each seed each stage that leads to an arm.
   *
   * @param pipeline the configuration
   * @return the parts
   */
  public static List<StageRun> plan(Pipeline pipeline) {
    List<Stage> stages = pipeline.trainedStages();
    int of = pipeline.seeds().size() * stages.size();
    List<StageRun> plan = new ArrayList<>();
    for (long seed : pipeline.seeds()) {
      for (Stage stage : stages) {
        plan.add(
            new StageRun(
                seed,
                stage.name(),
                stage.kind(),
                pipeline.modelOf(stage.name()),
                plan.size() + 1,
                of,
                stage.steps()));
      }
    }
    return plan;
  }
}
