package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import dev.polka.train.checkpoint.CheckpointStore;
import dev.polka.train.checkpoint.RunDirectory;
import dev.polka.train.report.StageRun;
import dev.polka.train.report.StepMetrics;
import dev.polka.train.report.StepTiming;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResumeTest {
  private static final int KILLS = 20;

  @TempDir Path folder;

  @Test
  void aRunTwiceGivesTheSameBytes() throws IOException {
    TinyRun run = TinyRun.everyKind(5);
    run.in(folder.resolve("one"));
    run.in(folder.resolve("two"));
    assertThat(differing(folder.resolve("one"), folder.resolve("two"))).isEmpty();
    assertThat(Files.readAllLines(folder.resolve("one/metrics.jsonl"))).hasSize(7 * (5 + 2));
    assertThat(folder.resolve("one/models/seed-7/again/model.safetensors")).isNotEmptyFile();
  }

  @Test
  void aRunKilledAtAnyMomentEndsWithTheFilesOfOneThatWasNot() throws Exception {
    Path whole = folder.resolve("whole");
    Path killed = folder.resolve("killed");
    TinyRun.everyKind(TinyTraining.STEPS).in(whole);
    var random = new Random();
    long safe = 0;
    for (int kill = 0; kill < KILLS; kill++) {
      safe = runAndKill(killed, safe, 1 + random.nextInt(6), random);
    }
    assertThat(safe).as("steps done when the last kill came").isLessThan(7 * TinyTraining.STEPS);

    TinyRun.everyKind(TinyTraining.STEPS).in(killed);
    assertThat(differing(whole, killed)).isEmpty();
  }

  /** Lets some steps pass, kills a random moment later, and returns what was done by then. */
  private static long runAndKill(Path folder, long safe, int steps, Random random)
      throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0",
                "-Dorg.bytedeco.javacpp.maxBytes=0",
                "-cp",
                System.getProperty("java.class.path"),
                TinyTraining.class.getName(),
                folder.toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    long told = 0;
    try (BufferedReader lines = process.inputReader()) {
      String line = lines.readLine();
      // The checkpoint of the last step may have been on its way to the disk.
      assertThat(Long.parseLong(line))
          .as("step that is gone on from")
          .isBetween(Math.max(0, safe - 1), safe + 1);
      for (int i = 0; i < steps && line != null; i++) {
        told = Long.parseLong(line);
        line = lines.readLine();
      }
      Thread.sleep(random.nextInt(30), random.nextInt(1_000_000));
      // SIGKILL; by the handle, since Process.destroyForcibly also closes the stream read below.
      process.toHandle().destroyForcibly();
      process.waitFor();
      for (; line != null; line = lines.readLine()) {
        told = Long.parseLong(line);
      }
    }
    return told;
  }

  @Test
  void anInterruptionLosesNoMoreStepsThanLieBetweenCheckpoints() throws IOException {
    TinyRun run = TinyRun.everyKind(5).checkpointingEvery(3);
    run.in(folder.resolve("whole"));
    Path stopped = folder.resolve("stopped");
    for (long at : new long[] {2, 4, 10, 19, 33}) {
      assertThatThrownBy(() -> run.in(stopped, new StopsAt(at))).isInstanceOf(Stop.class);
      long kept = stepsKept(stopped);
      assertThat(kept).as("steps kept of %s", at).isBetween(at - 3 + 1, at);
    }
    List<String> said = new ArrayList<>();
    run.in(
        stopped,
        new TinyRun.Watching() {
          @Override
          public void say(String line) {
            said.add(line);
          }
        });
    assertThat(said).containsExactly("going on after step 3 of again, seed 7");
    assertThat(differing(folder.resolve("whole"), stopped)).isEmpty();
  }

  @Test
  void aChangedConfigurationIsRefusedNamingTheKeys() throws IOException {
    RunDirectory.begin(folder, TinyRun.everyKind(2).pipeline()).close();
    assertThatThrownBy(() -> TinyRun.everyKind(3).in(folder))
        .isInstanceOf(InputException.class)
        .hasMessageContaining("stages.warm.steps: 2 -> 3");
  }

  private static long stepsKept(Path folder) throws IOException {
    var state = CheckpointStore.open(folder.resolve("checkpoints")).latest().map(c -> c.state());
    if (state.isEmpty()) {
      return 0;
    }
    List<String> stages =
        TinyRun.everyKind(5).pipeline().trainedStages().stream().map(s -> s.name()).toList();
    return stages.indexOf(state.get().stage()) * 5L + state.get().step();
  }

  /** Paths whose bytes differ, or that only one has. */
  private static List<String> differing(Path one, Path two) throws IOException {
    Map<String, String> expected = TinyRun.files(one);
    Map<String, String> found = TinyRun.files(two);
    assertThat(found.keySet()).isEqualTo(expected.keySet());
    return expected.keySet().stream()
        .filter(name -> !expected.get(name).equals(found.get(name)))
        .toList();
  }

  private static final class Stop extends RuntimeException {
    private static final long serialVersionUID = 1;
  }

  /** Stops the run when so many steps of all stages are done. */
  private static final class StopsAt extends TinyRun.Watching {
    private final long steps;
    private long before;

    StopsAt(long steps) {
      this.steps = steps;
    }

    @Override
    public void begin(StageRun stage, long done) {
      before = (stage.index() - 1L) * stage.steps();
    }

    @Override
    public void step(StepMetrics metrics, StepTiming timing) {
      if (before + metrics.step() == steps) {
        throw new Stop();
      }
    }
  }
}
