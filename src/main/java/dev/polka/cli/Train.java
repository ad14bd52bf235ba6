package dev.polka.cli;

import dev.polka.train.FileFailure;
import dev.polka.train.InputException;
import dev.polka.train.TrainingFailure;
import dev.polka.train.checkpoint.RunDirectory;
import dev.polka.train.config.Arm;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import dev.polka.train.job.InputDigests;
import dev.polka.train.job.TaskPreparation;
import dev.polka.train.job.Trainer;
import dev.polka.train.job.TrainingJob;
import dev.polka.train.report.Progress;
import dev.polka.train.report.RunRecords;
import dev.polka.train.report.RunReport;
import dev.polka.train.report.StageRun;
import dev.polka.train.report.TimePrediction;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code polka train}: from sparse rewards to a dense student, and what each step was worth. */
@Command(
    name = "train",
    sortOptions = false,
    description = {
      "Trains a teacher by reinforcement (GRPO), carries what it has learnt over to a smaller"
          + " student (forward KL on its rollouts, then reverse KL on the student's), goes on with"
          + " reinforcement, and compares that with training the student directly.%n",
      "Without a file it makes its own problems and models, so there is nothing to download."
    },
    optionListHeading = "%nOptions:%n",
    footer = {
      "",
      "Examples:",
      "  ./polka train --quick                      the idea, in a few minutes",
      "  ./polka train                              seven arms, three seeds, standard errors",
      "  ./polka train --seeds 1-8 --out runs/long  more seeds, in a folder of that name",
      "  ./polka train --resume --out runs/long     go on after an interruption",
      "  ./polka train --quick --data sums.jsonl    your own problems",
      "  ./polka train --show-config > my.yaml      every constant explained; change some, then",
      "  ./polka train --config my.yaml",
      "",
      "Exit status: 0 done, 1 failed, 2 wrong use: a bad option, configuration or problem file."
    })
final class Train implements Callable<Integer> {
  /** The folder the launcher was called from: what relative paths mean. */
  private static final String CALLED_FROM = "POLKA_CALLED_FROM";

  @Spec CommandSpec spec;
  @Mixin TrainOptions options;

  private final Supplier<Optional<Trainer>> trainers;

  Train() {
    this(Trainer::find);
  }

  Train(Supplier<Optional<Trainer>> trainers) {
    this.trainers = trainers;
  }

  @Override
  public Integer call() {
    try {
      return run();
    } catch (InputException e) {
      return failed(2, e.getMessage());
    } catch (TrainingFailure e) {
      return failed(1, e.getMessage());
    } catch (IOException e) {
      return failed(1, FileFailure.text(e));
    } catch (UncheckedIOException e) {
      return failed(1, FileFailure.text(e.getCause()));
    }
  }

  private int failed(int status, String message) {
    spec.commandLine().getErr().println("polka train: " + message);
    return status;
  }

  private int run() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    if (options.showConfig) {
      out.print(PipelineFile.shippedText(options.choice.quick ? "quick" : "default"));
      out.flush();
      return 0;
    }
    requireRanges();
    Path base = Path.of(System.getenv().getOrDefault(CALLED_FROM, ""));
    TrainPlan plan = new TrainPlan(options, base, out);
    Pipeline chosen = plan.chosen();
    Path path = OutputFolder.choose(base, options.out, chosen.name(), options.resume);
    if (options.resume) {
      Pipeline recorded = RunDirectory.recorded(path);
      RunDirectory.requireSameInputs(path, InputDigests.of(recorded, base));
      chosen = plan.isChosen() ? chosen : recorded;
    }
    TaskPreparation prepared = plan.prepare(chosen);
    Pipeline pipeline = prepared.pipeline();
    describe(out, pipeline, prepared, shown(base, path));
    if (options.check) {
      return 0;
    }
    Optional<Trainer> trainer = trainers.get();
    if (trainer.isEmpty()) {
      spec.commandLine()
          .getErr()
          .println(
              "polka train: configuration and problems are fine, but the training loop is not part"
                  + " of this version yet; nothing was trained");
      return 1;
    }
    try (RunDirectory directory =
        options.resume
            ? RunDirectory.resume(path, pipeline)
            : RunDirectory.begin(path, pipeline, InputDigests.of(pipeline, base))) {
      try (Interruption told = Interruption.of(spec.commandLine(), shown(base, path))) {
        train(trainer.get(), prepared, directory);
      }
      RunRecords records = RunRecords.read(directory.metrics(), directory.timing());
      RunReport report =
          RunReport.write(
              path, pipeline, records, lossesBy(pipeline), plan.configOption(shown(base, path)));
      report(out, report, shown(base, report.page()));
    }
    return 0;
  }

  private static String lossesBy(Pipeline pipeline) {
    return switch (pipeline.loss()) {
      case POLKA -> "Polka's kernels";
      case LIBTORCH -> "plain libtorch operations";
    };
  }

  private void train(Trainer trainer, TaskPreparation prepared, RunDirectory directory)
      throws IOException {
    Pipeline pipeline = prepared.pipeline();
    var prediction = new TimePrediction(StageRun.plan(pipeline));
    var choices =
        new TrainingJob.Options(options.checkpointEvery, options.exportPrecision, options.threads);
    PrintStream lines = System.out;
    try (Progress progress = Progress.open(prediction, lines)) {
      trainer.train(
          new TrainingJob(pipeline, prepared.task(), directory, options.resume, choices, progress));
    }
  }

  private static void describe(
      PrintWriter out, Pipeline pipeline, TaskPreparation prepared, Path output) {
    out.println(
        pipeline.name()
            + ": "
            + count(pipeline.arms().size(), "arm")
            + ", "
            + count(pipeline.trainedStages().size(), "stage")
            + ", seeds "
            + pipeline.seeds().stream().map(String::valueOf).collect(Collectors.joining(", ")));
    out.println(
        "problems: "
            + (pipeline.data().file() == null ? "generated addition" : pipeline.data().file())
            + ", verifier "
            + pipeline.data().verifier()
            + ", "
            + count(prepared.task().tokenizer().vocabSize(), "token")
            + " in the vocabulary, context "
            + prepared.task().prompts().context()
            + ", responses up to "
            + prepared.task().prompts().maxResponse());
    out.println(
        "compared: " + pipeline.arms().stream().map(Arm::title).collect(Collectors.joining("; ")));
    out.println("output: " + output);
    out.flush();
  }

  private static void report(PrintWriter out, RunReport report, Path page) {
    out.println();
    out.print(report.text());
    List<String> warnings = report.warnings();
    warnings.forEach(warning -> out.println("warning: " + warning));
    out.println();
    out.println("report: " + page);
    out.flush();
  }

  /** A path as someone in the base folder would write it. */
  private static Path shown(Path base, Path path) {
    return base.isAbsolute() && path.startsWith(base) ? base.relativize(path) : path;
  }

  private void requireRanges() {
    if (options.checkpointEvery < 1) {
      throw new InputException(
          "--checkpoint-every is " + options.checkpointEvery + ", must be at least 1");
    }
    if (options.threads < 0) {
      throw new InputException("--threads is " + options.threads + ", must be at least 0");
    }
    if (options.verifier != null && options.data == null) {
      throw new InputException("--verifier goes with --data; otherwise the pipeline names it");
    }
  }

  private static String count(int number, String what) {
    return number + " " + what + (number == 1 ? "" : "s");
  }
}
