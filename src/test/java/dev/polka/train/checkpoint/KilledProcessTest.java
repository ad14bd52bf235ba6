package dev.polka.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KilledProcessTest {
  private static final int KILLS = 20;

  @TempDir Path folder;

  @Test
  void processKilledAtAnyMomentLeavesAWholeCheckpointAndLosesNothingItHadSaved() throws Exception {
    var random = new Random();
    long safe = 0;
    for (int kill = 0; kill < KILLS; kill++) {
      safe = Math.max(safe, runAndKill(random));
      Optional<Checkpoint> latest = CheckpointStore.open(folder).latest();
      long step = latest.map(checkpoint -> checkpoint.state().step()).orElse(0L);
      assertThat(step).as("kill %s", kill).isBetween(safe, safe + 1);
      safe = step;
      if (latest.isPresent()) {
        byte[] expected = SavingProcess.content(step);
        assertThat(Files.readAllBytes(latest.get().model())).isEqualTo(expected);
        assertThat(Files.readAllBytes(latest.get().optimizer())).isEqualTo(expected);
      }
    }
    assertThat(safe).as("steps saved over all kills").isGreaterThan(KILLS);
  }

  /** Starts the process, kills it a random moment after its first save, returns what was safe. */
  private long runAndKill(Random random) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                SavingProcess.class.getName(),
                folder.toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    long safe = 0;
    try (BufferedReader saved = process.inputReader()) {
      String line = saved.readLine();
      Thread.sleep(random.nextInt(150), random.nextInt(1_000_000));
      // SIGKILL; by the handle, since Process.destroyForcibly also closes the stream read below.
      process.toHandle().destroyForcibly();
      process.waitFor();
      for (; line != null; line = saved.readLine()) {
        safe = Long.parseLong(line);
      }
    }
    return safe;
  }
}
