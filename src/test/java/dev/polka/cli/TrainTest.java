package dev.polka.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.train.checkpoint.RunDirectory;
import dev.polka.train.config.Arm;
import dev.polka.train.config.LossBackend;
import dev.polka.train.job.Trainer;
import dev.polka.train.job.TrainingJob;
import dev.polka.train.report.Evaluation;
import dev.polka.train.report.RunLog;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

class TrainTest {
  private static final Path WORDS = Path.of("src/test/resources/train/word-problems.jsonl");

  @TempDir Path folder;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private final List<TrainingJob> jobs = new ArrayList<>();

  /** Scores every arm without training anything. */
  private void train(TrainingJob job) throws IOException {
    jobs.add(job);
    RunDirectory directory = job.directory();
    try (RunLog log =
        RunLog.open(directory.metrics(), directory.timing(), new RunLog.Lengths(0, 0))) {
      for (long seed : job.pipeline().seeds()) {
        for (Arm arm : job.pipeline().arms()) {
          log.write(new Evaluation(seed, arm.result(), 1, true, 10, 1, 0.25 * seed));
        }
      }
    }
  }

  private int polka(Optional<Trainer> trainer, Object... arguments) {
    CommandLine command = Main.commandLine();
    command.getCommandSpec().removeSubcommand("train");
    command.addSubcommand("train", new Train(() -> trainer));
    return command
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setParameterExceptionHandler(Main::wrongUse)
        .setOut(new PrintWriter(out))
        .setErr(new PrintWriter(err))
        .execute(
            IntStream.range(0, arguments.length)
                .mapToObj(i -> "" + arguments[i])
                .toArray(String[]::new));
  }

  private int polka(Object... arguments) {
    return polka(Optional.of(this::train), arguments);
  }

  @Test
  void runTrainsAndReports() {
    Path run = folder.resolve("run");
    assertThat(polka("train", "--quick", "--out", run)).isZero();
    assertThat(out.toString())
        .contains("quick: 3 arms, 8 stages, seeds 1, 2", "context 10, responses up to 4")
        .contains("bridge + GRPO", "0.250, 0.500", "report: " + run.resolve("report.html"));
    assertThat(run.resolve("report.html")).isRegularFile();
    assertThat(run.resolve("pipeline.json")).isRegularFile();
    TrainingJob job = jobs.get(0);
    assertThat(job.resumed()).isFalse();
    assertThat(job.options())
        .isEqualTo(new TrainingJob.Options(1, TrainingJob.ExportPrecision.F32, 0));
    assertThat(job.pipeline().loss()).isEqualTo(LossBackend.POLKA);
    assertThat(job.pipeline().models().get("student").context()).isEqualTo(10);
    assertThat(job.task().tokenizer().vocabSize()).isEqualTo(13);
  }

  @Test
  void optionsReachTheTrainer() {
    assertThat(
            polka(
                "train",
                "--quick",
                "--out",
                folder,
                "--seeds",
                "4,7-9",
                "--checkpoint-every",
                "5",
                "--export-dtype",
                "bf16",
                "--loss",
                "libtorch",
                "--threads",
                "2"))
        .isZero();
    assertThat(jobs.get(0).pipeline().seeds()).containsExactly(4L, 7L, 8L, 9L);
    assertThat(jobs.get(0).options())
        .isEqualTo(new TrainingJob.Options(5, TrainingJob.ExportPrecision.BF16, 2));
    assertThat(jobs.get(0).pipeline().loss()).isEqualTo(LossBackend.LIBTORCH);
  }

  @Test
  void runIsResumedWithItsConfigurationOnly() {
    assertThat(polka("train", "--quick", "--out", folder)).isZero();
    assertThat(polka("train", "--quick", "--out", folder)).isEqualTo(2);
    assertThat(err.toString()).contains("holds a run already").hasLineCount(1);
    assertThat(polka("train", "--quick", "--out", folder, "--resume")).isZero();
    assertThat(jobs.get(1).resumed()).isTrue();
    assertThat(polka("train", "--quick", "--out", folder, "--resume", "--seeds", "3")).isEqualTo(2);
    assertThat(err.toString()).contains("(seeds: [1,2] -> [3])");
    assertThat(polka("train", "--quick", "--out", folder, "--resume", "--loss", "libtorch"))
        .isEqualTo(2);
    assertThat(err.toString())
        .contains("(loss: \"polka\" -> \"libtorch\")")
        .hasLineCount(3); // one for each refusal
    assertThat(jobs).hasSize(2);
  }

  @Test
  void runIsGoneOnWithByItsFolderAlone() throws IOException {
    Path run = folder.resolve("runs/long");
    assertThat(polka("train", "--quick", "--seeds", "1-8", "--out", run)).isZero();
    assertThat(polka("train", "--resume", "--out", run)).isZero();
    assertThat(jobs.get(1).pipeline()).isEqualTo(jobs.get(0).pipeline());
    assertThat(polka("train", "--resume", "--out", run, "--seeds", "1")).isEqualTo(2);
    assertThat(err.toString()).contains("(seeds: [1,2,3,4,5,6,7,8] -> [1])").hasLineCount(1);
    assertThat(polka("train", "--resume", "--quick", "--out", run)).isEqualTo(2);
    assertThat(err.toString()).contains("(seeds: [1,2,3,4,5,6,7,8] -> [1,2])").hasLineCount(2);

    Path onFile = folder.resolve("on-file");
    assertThat(polka("train", "--quick", "--data", WORDS, "--out", onFile)).isZero();
    assertThat(polka("train", "--resume", "--out", onFile)).isZero();
    assertThat(polka("train", "--resume", "--data", WORDS, "--out", onFile)).isZero();
    assertThat(jobs.get(3).pipeline()).isEqualTo(jobs.get(2).pipeline());
    assertThat(jobs.get(4).pipeline()).isEqualTo(jobs.get(2).pipeline());
  }

  @Test
  void aChangedProblemFileIsRefusedByItsKey() throws IOException {
    Path file = Files.copy(WORDS, folder.resolve("problems.jsonl"));
    Path run = folder.resolve("run");
    assertThat(polka("train", "--quick", "--data", file, "--out", run)).isZero();
    Files.writeString(file, Files.readString(file).replaceFirst("\\{", "{ "));
    for (Object[] more : new Object[][] {{}, {"--quick", "--data", file}}) {
      err.getBuffer().setLength(0);
      Stream<Object> always = Stream.of("train", "--resume", "--out", run);
      assertThat(polka(Stream.concat(always, Stream.of(more)).toArray())).isEqualTo(2);
      assertThat(err.toString())
          .startsWith("polka train: " + run + ": files it reads have changed since this run began")
          .contains("data.file.sha256: ")
          .hasLineCount(1);
    }
    assertThat(jobs).hasSize(1);
  }

  @Test
  void folderThatCannotBeWrittenGivesOneClearLineAndStatusTwo() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "");
    assertRefused(file, file + ": is not a folder");
    assertRefused(file.resolve("run"), file.resolve("run") + ": cannot be written: ");
    // Nobody may make anything here, not even root, whom no permission stops elsewhere.
    assertRefused(Path.of("/proc/polka"), "/proc/polka: cannot be written: ");
    assertRefused(folder.resolve("none"), "holds no run to go on with", "--resume");
    assertThat(jobs).isEmpty();
  }

  private void assertRefused(Path out, String message, Object... more) {
    err.getBuffer().setLength(0);
    Stream<Object> always = Stream.of("train", "--quick", "--out", out);
    assertThat(polka(Stream.concat(always, Stream.of(more)).toArray())).isEqualTo(2);
    assertThat(err.toString()).startsWith("polka train: ").contains(message).hasLineCount(1);
  }

  @Test
  void diskThatFailsGivesOneClearLineAndStatusOne() {
    Trainer failing =
        job -> {
          throw new FileSystemException("metrics.jsonl", null, "No space left on device");
        };
    assertThat(polka(Optional.of(failing), "train", "--quick", "--out", folder)).isOne();
    assertThat(err.toString()).isEqualTo("polka train: metrics.jsonl: No space left on device\n");
  }

  @Test
  void unknownKeyOfAConfigurationGivesOneClearLineAndStatusTwo() throws IOException {
    polka("train", "--quick", "--show-config");
    Path mine = folder.resolve("mine.yaml");
    Files.writeString(mine, out.toString().replace("optimizer: {l", "optimiser: {l"));
    assertThat(polka("train", "--config", mine, "--out", folder.resolve("run"))).isEqualTo(2);
    assertThat(err.toString())
        .startsWith("polka train: " + mine + ":")
        .contains("unknown key 'optimiser'", "did you mean 'optimizer'?")
        .hasLineCount(1);
  }

  @Test
  void problemsOfTheUserSizeTokenizerContextAndEvaluation() {
    assertThat(polka("train", "--quick", "--data", WORDS, "--out", folder)).isZero();
    TrainingJob job = jobs.get(0);
    assertThat(job.pipeline().data().verifier()).isEqualTo("numeric");
    assertThat(job.pipeline().evaluation().problems()).isEqualTo(1);
    assertThat(job.task().prompts().maxResponse()).isEqualTo(87);
    assertThat(job.pipeline().models().get("teacher").context()).isEqualTo(174);
    assertThat(job.task().tokenizer().encode("3 - 7 = -4\n")).hasSize(11);
    assertThat(out.toString())
        .contains("evaluating on all that the file's test part has, 1 of 400");
  }

  @Test
  void checkTrainsNothing() {
    assertThat(polka("train", "--check", "--out", folder.resolve("none"))).isZero();
    assertThat(out.toString()).contains("sparse-to-dense: 7 arms, 13 stages, seeds 1, 2, 3");
    assertThat(jobs).isEmpty();
    assertThat(folder.resolve("none")).doesNotExist();
  }

  @Test
  void withoutATrainingLoopItSaysSo() {
    assertThat(polka(Optional.empty(), "train", "--quick", "--out", folder.resolve("x"))).isOne();
    assertThat(err.toString()).contains("the training loop is not part of this version yet");
    assertThat(folder.resolve("x")).doesNotExist();
  }

  @Test
  void shownConfigurationCanBeRun() throws IOException {
    assertThat(polka("train", "--quick", "--show-config")).isZero();
    Path mine = Files.writeString(folder.resolve("mine.yaml"), out.toString());
    assertThat(polka("train", "--config", mine, "--check")).isZero();
  }

  @Test
  void helpHasExamples() {
    assertThat(polka("train", "--help")).isZero();
    assertThat(out.toString()).contains("Examples:", "./polka train --quick --data sums.jsonl");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "--sedes 3                    | polka train: Unknown options: '--sedes', '3'",
        "--quick --config x.yaml      | polka train: Error: --quick, --config=FILE are mutually",
        "--seeds 8-1                  | polka train: Invalid value for option '--seeds': '8-1' is",
        "--seeds one                  | polka train: Invalid value for option '--seeds': 'one' is",
        "--seeds 1,1                  | polka train: seeds are [1, 1]; at least one, and each once",
        "--loss pulka                 | polka train: Invalid value for option '--loss'",
        "--checkpoint-every 0         | polka train: --checkpoint-every is 0, must be at least 1",
        "--threads -1                 | polka train: --threads is -1, must be at least 0",
        "--verifier exact             | polka train: --verifier goes with --data",
        "--config no/such.yaml        | polka train: no/such.yaml: no such file",
        "--data no/such.jsonl         | polka train: no/such.jsonl: no such file",
        "--model no/such              | polka train: no/such/config.json: no such file",
      })
  void mistakesGiveOneClearLineAndStatusTwo(String arguments, String message) {
    String[] words = ("train --check " + arguments).split(" +");
    assertThat(polka((Object[]) words)).isEqualTo(2);
    // A relative path is shown from the folder that the launcher was called from, where it was.
    String start = "polka train: ";
    assertThat(err.toString()).startsWith(start).contains(message.substring(start.length()));
    assertThat(err.toString().lines().filter(line -> !line.startsWith("see "))).hasSize(1);
  }

  @Test
  void badProblemsGiveOneClearLineAndStatusTwo() throws IOException {
    Path file = folder.resolve("problems.jsonl");
    Files.writeString(file, "");
    assertWrong(file, file + ": holds no problem");

    Files.writeString(file, lines(20) + "{\"prompt\": \"x\"}\n");
    assertWrong(file, file + ":21: has no 'answer'");

    Files.writeString(file, lines(3));
    assertWrong(file, file + ": has 3 distinct prompts; with its held-out parts at least 4");

    Files.writeString(file, lines(20) + line("y".repeat(600), "1"));
    assertWrong(file, file + ":21: its prompt with the longest response is 603 tokens long");

    Files.writeString(file, lines(20) + line("half", "1/2"));
    assertThat(polka("train", "--data", file, "--check")).isZero(); // compared as texts
    err.getBuffer().setLength(0);
    assertThat(polka("train", "--data", file, "--verifier", "numeric", "--check")).isEqualTo(2);
    assertThat(err.toString()).contains(file + ":21: the answer '1/2' is not a number");
  }

  @Test
  void promptsMustFitTheContextThatTheConfigurationGives() throws IOException {
    polka("train", "--quick", "--show-config");
    String tight = out.toString().replace("feedForward: 128", "feedForward: 128, context: 9");
    Path mine = Files.writeString(folder.resolve("mine.yaml"), tight);
    assertThat(polka("train", "--config", mine, "--check")).isEqualTo(2);
    assertThat(err.toString())
        .isEqualTo(
            "polka train: arithmetic: the prompt has 6 tokens; the context of 9 leaves 5 beside a"
                + " response of 4\n");
  }

  private void assertWrong(Path file, String message) {
    err.getBuffer().setLength(0);
    assertThat(polka("train", "--data", file, "--check")).isEqualTo(2);
    assertThat(err.toString()).startsWith("polka train: " + message).hasLineCount(1);
  }

  private static String lines(int count) {
    return IntStream.range(0, count)
        .mapToObj(i -> line("p" + i, "" + (i + 10)))
        .collect(Collectors.joining());
  }

  private static String line(String prompt, String answer) {
    return "{\"prompt\": \"" + prompt + "\", \"answer\": \"" + answer + "\"}\n";
  }
}
