package dev.polka.train.stage;

import dev.polka.memory.DType;
import dev.polka.train.RandomKey;
import dev.polka.train.checkpoint.DurableFiles;
import dev.polka.train.checkpoint.RunDirectory;
import dev.polka.train.config.Arm;
import dev.polka.train.config.EvaluationSettings;
import dev.polka.train.config.ModelSettings;
import dev.polka.train.config.Pipeline;
import dev.polka.train.data.Problem;
import dev.polka.train.job.TrainingJob;
import dev.polka.train.job.TrainingTask;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;

/**
 * What all stages of a run share: problems, sampler, and the models by name.
 *
 * @param pipeline the configuration
 * @param task problems, tokenizer, prompts and verifier
 * @param run where results go
 * @param sampler writes and scores responses
 */
record Workshop(Pipeline pipeline, TrainingTask task, RunDirectory run, Sampler sampler) {
  private static final double ROPE_THETA = 1e4;
  private static final double RMS_EPS = 1e-5;

  static Workshop of(TrainingJob job) {
    TrainingTask task = job.task();
    int rows = job.pipeline().batching().generationRows();
    return new Workshop(
        job.pipeline(), task, job.directory(), new Sampler(task.prompts(), task.verifier(), rows));
  }

  /** Loads what a name stands for: the result of a stage, or the first weights of a model. */
  LlamaModel model(long seed, String name) throws IOException {
    ModelSettings settings = pipeline.models().get(name);
    if (settings == null) {
      String model = pipeline.modelOf(name);
      return LlamaModel.load(run.model(seed, name), dtype(pipeline.models().get(model)));
    }
    if (settings.directory() != null) {
      return LlamaModel.load(Path.of(settings.directory()), dtype(settings));
    }
    ModelConfig config =
        new ModelConfig(
            task.tokenizer().vocabSize(),
            settings.width(),
            settings.feedForward(),
            settings.layers(),
            settings.heads(),
            settings.keyValueHeads(),
            settings.context(),
            ROPE_THETA,
            RMS_EPS,
            true,
            List.of(task.tokenizer().endOfSequence()),
            dtype(settings));
    return LlamaModel.create(config, RandomKey.ofSeed(seed).with("model").with(name).bits(0));
  }

  private static DType dtype(ModelSettings settings) {
    return settings.precision() == ModelSettings.Precision.BF16 ? DType.BF16 : DType.F32;
  }

  /** Writes the result of a stage: weights, configuration and tokenizer, whole or not at all. */
  void save(long seed, String stage, LlamaModel model) throws IOException {
    DurableFiles.writeDirectory(
        run.model(seed, stage),
        folder -> {
          model.save(folder, DType.F32);
          task.tokenizer().save(folder);
        });
  }

  /** Writes a model for use elsewhere, in another type than the one results are kept in. */
  void export(long seed, String arm, LlamaModel model, DType stored) throws IOException {
    Path parent = run.path().resolve("exported").resolve("seed-" + seed);
    Files.createDirectories(parent);
    DurableFiles.writeDirectory(
        parent.resolve(arm),
        folder -> {
          model.save(folder, stored);
          task.tokenizer().save(folder);
        });
  }

  /** Mean score on the held-out problems; the same problems and draws for every stage and arm. */
  double evaluate(LlamaModel model, long seed) {
    EvaluationSettings settings = pipeline.evaluation();
    List<Problem> problems = task.problems().heldOut(settings.split(), settings.problems());
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      Sampler.Responses responses =
          sampler.sample(
              model,
              problems,
              settings.samples(),
              settings.temperature(),
              RandomKey.ofSeed(seed).with("evaluation"));
      double sum = 0;
      for (float score : sampler.scores(responses)) {
        sum += score;
      }
      return sum / responses.rollouts().size();
    }
  }

  int heldOutProblems() {
    EvaluationSettings settings = pipeline.evaluation();
    return task.problems().heldOut(settings.split(), settings.problems()).size();
  }

  /** Names of the arms that a stage's result is evaluated for, for checkpoints. */
  String armsOf(String stage) {
    return String.join(
        ",",
        pipeline.arms().stream().filter(arm -> arm.result().equals(stage)).map(Arm::name).toList());
  }
}
