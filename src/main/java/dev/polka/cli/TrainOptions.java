package dev.polka.cli;

import dev.polka.train.config.LossBackend;
import dev.polka.train.job.TrainingJob.ExportPrecision;
import java.nio.file.Path;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** What can be said to {@code polka train}. Filled in by picocli. */
final class TrainOptions {
  /** Which pipeline; at most one of them. */
  static final class Choice {
    @Option(
        names = "--quick",
        description = "The short pipeline: two seeds, three arms, a few minutes.")
    boolean quick;

    @Option(
        names = "--config",
        paramLabel = "FILE",
        description =
            "A pipeline of your own, YAML or JSON; --show-config prints one to start from.")
    Path config;
  }

  @ArgGroup Choice choice = new Choice();

  @Option(
      names = "--data",
      paramLabel = "FILE",
      description =
          "Train on these problems instead: JSONL with {\"prompt\": ..., \"answer\": ...}, or"
              + " GSM8K's question and answer. A share is held out for testing.")
  Path data;

  @Option(
      names = "--verifier",
      paramLabel = "NAME",
      description =
          "How responses to --data are scored: exact, numeric (after ####), numeric-last, or a class"
              + " of yours. Without it: numeric if every answer is a number, otherwise exact.")
  String verifier;

  @Option(
      names = "--model",
      paramLabel = "DIR",
      description = "Start the student from this saved model (config.json, model.safetensors).")
  Path model;

  @Option(
      names = "--teacher-model",
      paramLabel = "DIR",
      description = "Start the teacher from this saved model; same tokenizer.")
  Path teacherModel;

  @Option(
      names = "--seeds",
      paramLabel = "RANGE",
      converter = SeedRange.Converter.class,
      description = "Seeds to run, such as 1-8 or 1,4,7-9, instead of the pipeline's.")
  SeedRange seeds;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description =
          "Where logs, checkpoints, models and the report go. Without it: runs/NAME, or the next"
              + " free runs/NAME-2, ...; with --resume the last of these.")
  Path out;

  @Option(
      names = "--resume",
      description =
          "Go on with the run in --out where its last checkpoint was, with the configuration it"
              + " began with.")
  boolean resume;

  @Option(
      names = "--checkpoint-every",
      paramLabel = "N",
      defaultValue = "1",
      description =
          "Steps between checkpoints: the most that a kill loses. Default: ${DEFAULT-VALUE}.")
  int checkpointEvery;

  @Option(
      names = "--export-dtype",
      paramLabel = "TYPE",
      defaultValue = "f32",
      description = "Number format of the finished models, f32 or bf16. Default: ${DEFAULT-VALUE}.")
  ExportPrecision exportPrecision;

  @Option(
      names = "--loss",
      paramLabel = "WHAT",
      description =
          "What computes the losses: polka (its kernels) or libtorch (plain operations, to compare"
              + " speed and numbers). Without it: what the pipeline says, polka in those shipped.")
  LossBackend loss;

  @Option(
      names = "--threads",
      paramLabel = "N",
      defaultValue = "0",
      description = "Threads to use; 0, the default, for all cores.")
  int threads;

  @Option(
      names = "--check",
      description = "Check configuration and data, say what would run, and stop.")
  boolean check;

  @Option(
      names = "--show-config",
      description = "Print the shipped pipeline (with --quick the short one), every key explained.")
  boolean showConfig;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  boolean help;
}
