package dev.polka.train.stage;

import dev.polka.train.checkpoint.RunDirectory;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import dev.polka.train.job.TaskPreparation;
import dev.polka.train.job.TrainingJob;
import dev.polka.train.report.Progress;
import dev.polka.train.report.StageRun;
import dev.polka.train.report.StepMetrics;
import dev.polka.train.report.StepTiming;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** A pipeline with a stage of every kind on models of a few hundred weights, and its runs. */
record TinyRun(Pipeline pipeline, TrainingJob.Options options) {

  /** Every kind of stage, {@code steps} steps each. */
  static TinyRun everyKind(int steps) {
    return everyKind(steps, "");
  }

  /** The same with more settings. */
  static TinyRun everyKind(int steps, String more) {
    return of(
        more
            + """
        name: tiny
        seeds: [7]
        data: {arithmetic: {minDigits: 1, maxDigits: 2}}
        models:
          teacher: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32}
          student: {width: 8, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 16}
        optimizer: {learningRate: 1.0e-3}
        evaluation: {problems: 20, everySteps: 4}
        stages:
          - {name: warm, kind: supervised-warm-start, from: teacher, steps: N, batch: 8, digitNoise: 0.2}
          - {name: rl, kind: grpo, from: warm, steps: N, updatesPerStep: 2, rollouts: {prompts: 4, samples: 4}, objective: {klCoefficient: 0.1}}
          - {name: start, kind: supervised-warm-start, from: student, steps: N, batch: 8}
          - {name: forward, kind: forward-kl-warmup, from: start, teacher: rl, steps: N, rollouts: {prompts: 8}}
          - {name: bridge, kind: on-policy-distillation, from: forward, teachers: [rl, warm], steps: N, rewardScale: 1.5, reference: warm, rollouts: {prompts: 8}}
          - {name: sampled, kind: on-policy-distillation, from: bridge, teachers: [rl], steps: N, divergence: sampled-token, rollouts: {prompts: 8}}
          - {name: again, kind: replay, from: sampled, repeats: bridge, steps: N}
        arms: [{name: replayed, result: again}, {name: bridge, result: bridge}]
        """
                .replace("N,", steps + ",")
                .replace("N}", steps + "}"));
  }

  static TinyRun of(String pipeline) {
    return new TinyRun(
        TaskPreparation.of(PipelineFile.parse("tiny.yaml", pipeline), Path.of("")).pipeline(),
        new TrainingJob.Options(1, TrainingJob.ExportPrecision.F32, 1));
  }

  TinyRun with(TrainingJob.Options others) {
    return new TinyRun(pipeline, others);
  }

  TinyRun checkpointingEvery(int steps) {
    return with(new TrainingJob.Options(steps, options.exportPrecision(), options.threads()));
  }

  /** Trains in a folder, going on with a run that it holds. */
  void in(Path folder, Progress progress) throws IOException {
    boolean resumed = RunDirectory.holdsRun(folder);
    try (RunDirectory directory =
        resumed ? RunDirectory.resume(folder, pipeline) : RunDirectory.begin(folder, pipeline)) {
      var task = TaskPreparation.of(pipeline, Path.of("")).task();
      new PipelineTrainer()
          .train(new TrainingJob(pipeline, task, directory, resumed, options, progress));
    }
  }

  void in(Path folder) throws IOException {
    in(folder, new Watching());
  }

  /** What must be the same in every run: metrics, models and configuration, by path. */
  static Map<String, String> files(Path folder) throws IOException {
    Map<String, String> files = new TreeMap<>();
    try (Stream<Path> all = Files.walk(folder)) {
      for (Path file : all.filter(Files::isRegularFile).toList()) {
        String name = folder.relativize(file).toString();
        if (!name.startsWith("checkpoints") && !name.equals("timing.jsonl")) {
          files.put(name, Files.readString(file, StandardCharsets.ISO_8859_1));
        }
      }
    }
    return files;
  }

  /** Shows nothing; for tests that look at the steps. */
  static class Watching implements Progress {
    @Override
    public void begin(StageRun stage, long done) {}

    @Override
    public void step(StepMetrics metrics, StepTiming timing) {}

    @Override
    public void end(String outcome) {}

    @Override
    public void say(String line) {}

    @Override
    public void close() {}
  }
}
