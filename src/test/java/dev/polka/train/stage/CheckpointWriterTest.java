package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.checkpoint.Checkpoint;
import dev.polka.train.checkpoint.CheckpointStore;
import dev.polka.train.checkpoint.TrainingState;
import dev.polka.train.model.AdamW;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.model.ModelConfig;
import dev.polka.train.model.Safetensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointWriterTest {
  @TempDir Path folder;

  private final LlamaModel model = LlamaModel.create(ModelConfig.student(Batches.VOCAB, 16), 1);
  private final AdamW optimizer =
      new AdamW(model.parameters(), new AdamW.Options(0.9, 0.999, 1e-8, 0.1));
  private CheckpointStore store;
  private Path metrics;

  @BeforeEach
  void open() throws IOException {
    store = CheckpointStore.open(folder.resolve("checkpoints"));
    metrics = Files.writeString(folder.resolve("metrics.jsonl"), "{}\n");
  }

  @AfterEach
  void close() {
    optimizer.close();
    model.close();
  }

  private static TrainingState state(long step) {
    return new TrainingState("hash", 1, "stage", "", step, step, 0, 0, Map.of());
  }

  private void save(CheckpointWriter writer, long step) throws IOException {
    writer.save(state(step), model.parameters(), optimizer);
  }

  private void change() {
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      model.parameters().named().values().forEach(p -> p.detach().add_(new Scalar(1)));
    }
  }

  @Test
  void whatIsSavedIsWhatWasThereWhenItBegan() throws IOException {
    Path expected = folder.resolve("expected.safetensors");
    Safetensors.write(expected, model.parameters().named(), Map.of("format", "pt"));
    try (CheckpointWriter writer = new CheckpointWriter(store, List.of(metrics))) {
      save(writer, 1);
      change();
    }
    Checkpoint latest = store.latest().orElseThrow();
    assertThat(latest.state().step()).isEqualTo(1);
    assertThat(latest.model()).hasSameBinaryContentAs(expected);
  }

  @Test
  void aSaveWaitsForTheOneBefore() throws IOException {
    try (CheckpointWriter writer = new CheckpointWriter(store, List.of(metrics))) {
      for (long step = 1; step <= 4; step++) {
        save(writer, step);
        long safe = store.latest().map(checkpoint -> checkpoint.state().step()).orElse(0L);
        assertThat(safe).isBetween(step - 1, step);
      }
      writer.settle();
      assertThat(store.latest().orElseThrow().state().step()).isEqualTo(4);
    }
  }

  @Test
  void whatCouldNotBeWrittenIsReportedWhenItIsWaitedFor() throws IOException {
    try (CheckpointWriter writer = new CheckpointWriter(store, List.of(metrics))) {
      Files.delete(folder.resolve("checkpoints"));
      save(writer, 1);
      assertThatThrownBy(writer::settle).isInstanceOf(IOException.class);
    }
  }
}
