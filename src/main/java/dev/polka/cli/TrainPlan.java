package dev.polka.cli;

import dev.polka.train.InputException;
import dev.polka.train.config.EvaluationSettings;
import dev.polka.train.config.ModelSettings;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import dev.polka.train.data.FileProblems;
import dev.polka.train.data.NumericAnswer;
import dev.polka.train.data.Problem;
import dev.polka.train.data.ProblemFile;
import dev.polka.train.job.TaskPreparation;
import dev.polka.train.model.SavedModel;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;

/** Turns the options into a pipeline that is ready to run. */
final class TrainPlan {
  private static final String STUDENT = "student";
  private static final String TEACHER = "teacher";

  private final TrainOptions options;
  private final Path base;
  private final PrintWriter out;

  TrainPlan(TrainOptions options, Path base, PrintWriter out) {
    this.options = options;
    this.base = base;
    this.out = out;
  }

  /** The pipeline that was chosen, before the other options change it. */
  Pipeline chosen() {
    return options.choice.config != null
        ? PipelineFile.read(base.resolve(options.choice.config))
        : PipelineFile.shipped(options.choice.quick ? "quick" : "default");
  }

  /** Whether a pipeline was named at all; a run that is gone on with has one already. */
  boolean isChosen() {
    return options.choice.config != null || options.choice.quick;
  }

  /** How a command names the configuration of this run; nothing where it is a shipped one. */
  String configOption(Path run) {
    if (options.choice.config != null) {
      return "--config " + Interruption.quoted(options.choice.config.toString());
    }
    return options.resume && !isChosen()
        ? "--config " + Interruption.quoted(run.resolve("pipeline.json").toString())
        : "";
  }

  TaskPreparation prepare(Pipeline from) {
    Pipeline pipeline = from;
    if (options.seeds != null) {
      pipeline = pipeline.withSeeds(options.seeds.seeds());
    }
    if (options.loss != null) {
      pipeline = pipeline.withLoss(options.loss);
    }
    if (options.model != null) {
      pipeline = loading(pipeline, STUDENT, options.model);
    }
    if (options.teacherModel != null) {
      pipeline = loading(pipeline, TEACHER, options.teacherModel);
    }
    if (options.data != null) {
      pipeline = onFile(pipeline);
    }
    TaskPreparation prepared = TaskPreparation.of(pipeline, base);
    for (String name : prepared.pipeline().usedModels()) {
      String directory = prepared.pipeline().models().get(name).directory();
      if (directory != null) {
        SavedModel.check(Path.of(directory), prepared.task().tokenizer().vocabSize());
      }
    }
    return prepared;
  }

  private Pipeline loading(Pipeline pipeline, String model, Path given) {
    Path directory = base.resolve(given);
    for (String name : List.of("config.json", "model.safetensors", "tokenizer.json")) {
      if (!Files.exists(directory.resolve(name))) {
        throw new InputException(directory.resolve(name) + ": no such file");
      }
    }
    ModelSettings settings = pipeline.models().get(model);
    if (settings == null) {
      throw new InputException(
          "the pipeline has no model named '" + model + "'; it has " + pipeline.models().keySet());
    }
    return pipeline.withModel(model, settings.withDirectory(directory.toString()).withContext(0));
  }

  private Pipeline onFile(Pipeline pipeline) {
    Path file = base.resolve(options.data);
    List<Problem> problems = ProblemFile.read(file);
    String verifier = options.verifier;
    if (verifier == null) {
      boolean numbers =
          problems.stream().allMatch(p -> NumericAnswer.parse(p.answer()).isPresent());
      verifier = numbers ? "numeric" : "exact";
    }
    Pipeline onFile = pipeline.withData(pipeline.data().withFile(file.toString(), verifier));
    var models = new LinkedHashMap<>(onFile.models());
    models.replaceAll((name, model) -> model.withContext(0));
    for (var model : models.entrySet()) {
      onFile = onFile.withModel(model.getKey(), model.getValue());
    }
    return evaluatingWhatThereIs(onFile, problems);
  }

  /** The shipped pipelines evaluate on more problems than a small file holds out. */
  private Pipeline evaluatingWhatThereIs(Pipeline pipeline, List<Problem> problems) {
    EvaluationSettings asked = pipeline.evaluation();
    FileProblems split =
        FileProblems.split(problems, pipeline.data().shares(), pipeline.data().seed());
    long distinct = split.all(asked.split()).stream().map(Problem::prompt).distinct().count();
    if (distinct >= asked.problems()) {
      return pipeline;
    }
    out.println(
        "evaluating on all that the file's test part has, " + distinct + " of " + asked.problems());
    return pipeline.withEvaluation(asked.withProblems((int) distinct));
  }
}
