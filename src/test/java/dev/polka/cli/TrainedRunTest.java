package dev.polka.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.DType;
import dev.polka.train.checkpoint.CheckpointStore;
import dev.polka.train.data.ArithmeticTask;
import dev.polka.train.data.CharTokenizer;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.model.ModelConfig;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The command with its training loop, on models of a few hundred weights. */
class TrainedRunTest {
  private static final String PIPELINE =
      """
      name: tiny
      seeds: [7]
      data: {arithmetic: {minDigits: 1, maxDigits: 2}}
      models:
        teacher: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32}
        student: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32, precision: bf16}
      evaluation: {problems: 20}
      stages:
        - {name: warm, kind: supervised-warm-start, from: teacher, steps: 3, batch: 8}
        - {name: STAGE, steps: 2, rollouts: {prompts: 6, samples: 2}}
      arms: [{name: x, title: the student, result: x}]
      """;
  private static final String BRIDGE =
      "x, kind: on-policy-distillation, from: student, teachers: [warm]";

  @TempDir Path folder;
  private Path run;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  @BeforeEach
  void place() {
    run = folder.resolve("run");
  }

  private int train(String stage, Object... more) throws IOException {
    Path config = folder.resolve("tiny.yaml");
    Files.writeString(config, PIPELINE.replace("STAGE", stage));
    Stream<Object> always = Stream.of("train", "--config", config, "--out", run, "--threads", "1");
    return Main.commandLine()
        .setOut(new PrintWriter(out, true))
        .setErr(new PrintWriter(err, true))
        .execute(
            Stream.concat(always, Stream.of(more)).map(String::valueOf).toArray(String[]::new));
  }

  @Test
  void kernelsComputeTheLossesUnlessToldOtherwise() throws IOException {
    assertThat(train(BRIDGE)).isZero();
    assertThat(out.toString())
        .contains(
            "the student",
            "./polka train --config " + folder.resolve("tiny.yaml") + " --seeds 1-8",
            "time in training steps",
            "losses by Polka's kernels; padding was ");
    assertThat(run.resolve("report.html")).content().contains("Losses by Polka's kernels");
    assertThat(run.resolve("exported")).doesNotExist();
  }

  @Test
  void libtorchComputesTheLossesWhereAskedForAndTheReportSaysSo() throws IOException {
    assertThat(train(BRIDGE, "--loss", "libtorch")).isZero();
    assertThat(out.toString()).contains("losses by plain libtorch operations; padding was ");
    assertThat(run.resolve("report.html"))
        .content()
        .contains("Losses by plain libtorch operations");
  }

  @Test
  void finishedModelsAreExportedInBf16() throws IOException {
    assertThat(train(BRIDGE, "--export-dtype", "bf16")).isZero();
    Path exported = run.resolve("exported/seed-7/x");
    Path kept = run.resolve("models/seed-7/x");
    try (LlamaModel model = LlamaModel.load(exported)) {
      assertThat(model.config().dtype()).isEqualTo(DType.BF16);
    }
    assertThat(Files.size(exported.resolve("model.safetensors")))
        .isLessThan(Files.size(kept.resolve("model.safetensors")) * 2 / 3);
  }

  @Test
  void aModelThatWasSavedIsGoneOnFrom() throws IOException {
    assertThat(train(BRIDGE)).isZero();
    Path start = Files.move(run.resolve("models/seed-7/x"), folder.resolve("start"));
    run = folder.resolve("more");

    String hardlyMoving = "x, kind: grpo, from: student, optimizer: {learningRate: 1.0e-9}";
    assertThat(train(hardlyMoving, "--model", start)).isZero();

    try (LlamaModel other = LlamaModel.load(start)) {
      try (NoGradGuard guard = new NoGradGuard()) {
        other.parameters().get("model.norm.weight").fill_(new Scalar(2));
      }
      Path changed = Files.createDirectory(folder.resolve("changed"));
      other.save(changed, DType.F32);
      Files.move(start.resolve("model.safetensors"), folder.resolve("kept"));
      Files.copy(changed.resolve("model.safetensors"), start.resolve("model.safetensors"));
    }
    assertThat(train(hardlyMoving, "--model", start, "--resume")).isEqualTo(2);
    assertThat(err.toString())
        .contains("(models.student.directory.model.safetensors.sha256: ")
        .hasLineCount(1);
    Files.move(
        folder.resolve("kept"),
        start.resolve("model.safetensors"),
        StandardCopyOption.REPLACE_EXISTING);

    String name = "model.layers.0.mlp.up_proj.weight";
    try (LlamaModel before = LlamaModel.load(start);
        LlamaModel after = LlamaModel.load(run.resolve("models/seed-7/x"));
        PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      Tensor moved = after.parameters().get(name).sub(before.parameters().get(name)).abs();
      assertThat(moved.max().item_double()).isLessThan(1e-6);
      assertThat(before.parameters().get(name).abs().max().item_double()).isGreaterThan(0.1);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "x, kind: on-policy-distillation, from: student, teachers: [warm] | no token can be sampled",
        "x, kind: grpo, from: student, objective: {klCoefficient: 1}, reference: warm | no token can be sampled",
        "x, kind: forward-kl-warmup, from: student, teacher: warm         | the loss is NaN; 12 of 12",
        "x, kind: on-policy-distillation, from: warm, teachers: [student] | the loss is NaN; every",
      })
  void aModelThatIsNotFiniteStopsTheRunAtItsLastCheckpoint(String stage, String message)
      throws IOException {
    assertThat(train(stage, "--model", modelWithNaN())).isOne();
    assertThat(err.toString())
        .startsWith("polka train: seed 7, stage 'x', step 1: " + message)
        .hasLineCount(1);
    var latest = CheckpointStore.open(run.resolve("checkpoints")).latest().orElseThrow().state();
    assertThat(latest.stage()).isEqualTo("warm");
    assertThat(latest.step()).isEqualTo(3);
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, 1})
  void aVocabularyThatIsNotTheTokenizersIsRefusedBeforeTheFolderIsTaken(int more)
      throws IOException {
    int tokens = CharTokenizer.of(ArithmeticTask.symbols()).vocabSize();
    Path start = model("vocabulary", tokens + more, 1);
    String said =
        start.resolve("config.json")
            + ": vocab_size is "
            + (tokens + more)
            + ", but its tokenizer.json has "
            + tokens
            + " tokens";
    assertRefused(start, said);
  }

  @Test
  void damagedWeightsAreRefusedBeforeTheFolderIsTaken() throws IOException {
    Path start = model("damaged", CharTokenizer.of(ArithmeticTask.symbols()).vocabSize(), 1);
    Path weights = start.resolve("model.safetensors");
    byte[] whole = Files.readAllBytes(weights);
    Files.write(weights, Arrays.copyOf(whole, whole.length - 100));
    assertRefused(start, weights + ": its tensors need ");
    Files.write(weights, new byte[0]);
    assertRefused(start, weights + ": it has 0 bytes");
  }

  private void assertRefused(Path start, String message) throws IOException {
    for (Object[] more : new Object[][] {{"--model", start}, {"--model", start, "--check"}}) {
      err.getBuffer().setLength(0);
      assertThat(train(BRIDGE, more)).isEqualTo(2);
      assertThat(err.toString()).startsWith("polka train: " + message).hasLineCount(1);
      assertThat(run).doesNotExist();
    }
  }

  private Path modelWithNaN() throws IOException {
    return model("broken", CharTokenizer.of(ArithmeticTask.symbols()).vocabSize(), Double.NaN);
  }

  private Path model(String name, int vocabulary, double norm) throws IOException {
    Path directory = Files.createDirectory(folder.resolve(name));
    CharTokenizer tokenizer = CharTokenizer.of(ArithmeticTask.symbols());
    ModelConfig config =
        new ModelConfig(vocabulary, 16, 32, 1, 2, 1, 16, 1e4, 1e-5, true, List.of(2), DType.F32);
    try (LlamaModel model = LlamaModel.create(config, 1);
        PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      model.parameters().get("model.norm.weight").fill_(new Scalar(norm));
      model.save(directory, DType.F32);
    }
    tokenizer.save(directory);
    return directory;
  }

  @Test
  void anInterruptedRunSaysHowToGoOn() {
    assertThat(Interruption.resuming(List.of("train", "--quick"), Path.of("runs/quick")))
        .isEqualTo("./polka train --quick --resume --out runs/quick");
    assertThat(
            Interruption.resuming(
                List.of("train", "--out", "x", "--data", "a b.jsonl", "--resume"), Path.of("x")))
        .isEqualTo("./polka train --data 'a b.jsonl' --resume --out x");
  }
}
