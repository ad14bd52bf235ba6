package dev.polka.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunDirectoryTest {
  private static final Pipeline QUICK = PipelineFile.shipped("quick");

  @TempDir Path folder;

  @Test
  void runGoesOnWithTheSameConfiguration() throws IOException {
    String hash;
    try (RunDirectory run = RunDirectory.begin(folder.resolve("a/b"), QUICK)) {
      hash = run.configHash();
      assertThat(run.model(3, "bridge")).isEqualTo(folder.resolve("a/b/models/seed-3/bridge"));
      assertThat(folder.resolve("a/b/models/seed-3")).isDirectory();
    }
    try (RunDirectory run = RunDirectory.resume(folder.resolve("a/b"), QUICK)) {
      assertThat(run.configHash()).isEqualTo(hash);
    }
  }

  @Test
  void changedConfigurationIsRefusedByKey() throws IOException {
    RunDirectory.begin(folder, QUICK).close();
    Pipeline changed = QUICK.withSeeds(List.of(1L, 2L, 3L));
    assertThatThrownBy(() -> RunDirectory.resume(folder, changed))
        .isInstanceOf(InputException.class)
        .hasMessage(
            folder
                + ": the configuration has changed since this run began (seeds: [1,2] -> [1,2,3]);"
                + " resume with the old values, or begin another run");
  }

  @Test
  void runIsNotOverwrittenAndNothingIsNotResumed() throws IOException {
    assertThatThrownBy(() -> RunDirectory.resume(folder, QUICK))
        .isInstanceOf(InputException.class)
        .hasMessage(folder + ": holds no run to go on with");
    RunDirectory.begin(folder, QUICK).close();
    assertThatThrownBy(() -> RunDirectory.begin(folder, QUICK))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith(folder + ": holds a run already");
    Path file = Files.writeString(folder.resolve("file"), "");
    assertThatThrownBy(() -> RunDirectory.begin(file, QUICK))
        .isInstanceOf(InputException.class)
        .hasMessage(file + ": is not a folder");
  }

  @Test
  void folderInUseIsRefused() throws IOException {
    try (RunDirectory run = RunDirectory.begin(folder, QUICK)) {
      assertThatThrownBy(() -> RunDirectory.resume(run.path(), QUICK))
          .isInstanceOf(InputException.class)
          .hasMessage(folder + ": another run is using this folder");
    }
  }
}
