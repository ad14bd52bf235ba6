package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import dev.polka.train.data.Problem;
import dev.polka.train.data.Split;
import dev.polka.train.job.TaskPreparation;
import dev.polka.train.job.TrainingTask;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ShippedPaddingTest {

  @ParameterizedTest
  @ValueSource(strings = {"quick", "default"})
  void lessThanFifteenPercentOfTheBodysTokensArePadding(String name) {
    Pipeline pipeline = PipelineFile.shipped(name);
    TrainingTask task = TaskPreparation.of(pipeline, Path.of("")).task();
    long body = 0;
    long padded = 0;
    for (int step = 0; step < 20; step++) {
      List<Problem> problems = Sampler.draw(task.problems(), Split.TRAIN, 1, step, 64);
      List<Sequence> batch = problems.stream().map(problem -> solved(task, problem)).toList();
      for (MicroBatch part : MicroBatch.cut(batch, pipeline.batching().microBatchTokens())) {
        body += part.layout().bodyTokens();
        padded += part.layout().paddedTokens();
        part.close();
      }
    }
    assertThat((double) padded / body).isBetween(0.001, 0.15);
  }

  private static Sequence solved(TrainingTask task, Problem problem) {
    return new Sequence(
        task.prompts().prompt(problem), task.prompts().response(problem, problem.solution()));
  }
}
