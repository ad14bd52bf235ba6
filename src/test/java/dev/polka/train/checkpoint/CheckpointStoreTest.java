package dev.polka.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointStoreTest {
  @TempDir Path folder;

  private static TrainingState state(long step) {
    return new TrainingState(
        "abc",
        7,
        "teacher-rl",
        "",
        step,
        24 * step,
        100 * step,
        200 * step,
        Map.of("updates", step));
  }

  private static FileContent text(String text) {
    return file -> Files.writeString(file, text);
  }

  private static void save(CheckpointStore store, long step) throws IOException {
    store.save(state(step), List.of(), text("weights " + step), text("moments " + step));
  }

  @Test
  void emptyStoreHasNoCheckpoint() throws IOException {
    assertThat(CheckpointStore.open(folder.resolve("new")).latest()).isEmpty();
  }

  @Test
  void whatWasSavedComesBack() throws IOException {
    save(CheckpointStore.open(folder), 3);
    Checkpoint latest = CheckpointStore.open(folder).latest().orElseThrow();
    assertThat(latest.state()).isEqualTo(state(3));
    assertThat(latest.model()).hasContent("weights 3");
    assertThat(latest.optimizer()).hasContent("moments 3");
  }

  @Test
  void newestTwoAreKept() throws IOException {
    CheckpointStore store = CheckpointStore.open(folder);
    for (long step = 1; step <= 5; step++) {
      save(store, step);
    }
    assertThat(store.latest().orElseThrow().state().step()).isEqualTo(5);
    try (var entries = Files.list(folder)) {
      assertThat(entries.map(path -> path.getFileName().toString()))
          .containsExactlyInAnyOrder("checkpoint-000000004", "checkpoint-000000005", "latest");
    }
  }

  @Test
  void failedSaveLeavesTheLatestAsItWas() throws IOException {
    CheckpointStore store = CheckpointStore.open(folder);
    save(store, 1);
    FileContent failing =
        file -> {
          Files.writeString(file, "half of the mom");
          throw new IOException("disk full");
        };
    assertThatThrownBy(() -> store.save(state(2), List.of(), text("weights 2"), failing))
        .hasMessage("disk full");
    assertThat(store.latest().orElseThrow().model()).hasContent("weights 1");
    save(store, 2);
    assertThat(store.latest().orElseThrow().model()).hasContent("weights 2");
  }

  @Test
  void checkpointThatLatestDoesNotNameYetIsForgotten() throws IOException {
    CheckpointStore store = CheckpointStore.open(folder);
    save(store, 1);
    String before = Files.readString(folder.resolve("latest"));
    save(store, 2);
    Files.writeString(folder.resolve("latest"), before); // as if killed before it was replaced
    CheckpointStore again = CheckpointStore.open(folder);
    assertThat(again.latest().orElseThrow().state().step()).isEqualTo(1);
    save(again, 3);
    assertThat(again.latest().orElseThrow().model()).hasContent("weights 3");
  }

  @Test
  void damageIsNamed() throws IOException {
    CheckpointStore store = CheckpointStore.open(folder);
    save(store, 1);
    Path model = store.latest().orElseThrow().model();
    Files.writeString(model, "weights 7");
    assertThatThrownBy(store::latest)
        .isInstanceOf(InputException.class)
        .hasMessage(model + ": has a wrong checksum; the checkpoint is damaged");
    Files.writeString(model, "short");
    assertThatThrownBy(store::latest)
        .isInstanceOf(InputException.class)
        .hasMessage(model + ": is missing or not 9 bytes long; the checkpoint is damaged");
    Path state = model.resolveSibling("state.json");
    Files.writeString(state, Files.readString(state).replace("\"schema\" : 1", "\"schema\" : 2"));
    assertThatThrownBy(store::latest)
        .isInstanceOf(InputException.class)
        .hasMessage(state + ": has schema 2; this version reads 1");
    DurableFiles.delete(model.getParent());
    assertThatThrownBy(store::latest)
        .isInstanceOf(InputException.class)
        .hasMessageEndingWith("is missing, though latest names it");
  }
}
