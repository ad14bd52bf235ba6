package dev.polka.train.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Saves checkpoints until it is killed; says after each which step is safe. */
final class SavingProcess {
  static final int BYTES = 300_000;

  private SavingProcess() {}

  public static void main(String[] arguments) throws IOException {
    CheckpointStore store = CheckpointStore.open(Path.of(arguments[0]));
    long step = store.latest().map(checkpoint -> checkpoint.state().step()).orElse(0L);
    while (true) {
      step++;
      byte[] content = content(step);
      var state = new TrainingState("hash", 1, "stage", "", step, step, step, step, Map.of());
      store.save(
          state,
          List.of(),
          file -> writeInPieces(file, content),
          file -> writeInPieces(file, content));
      System.out.println(step);
    }
  }

  static byte[] content(long step) {
    byte[] content = new byte[BYTES];
    Arrays.fill(content, (byte) step);
    return content;
  }

  private static void writeInPieces(Path file, byte[] content) throws IOException {
    try (var stream = Files.newOutputStream(file)) {
      for (int from = 0; from < content.length; from += 1_000) {
        stream.write(content, from, Math.min(1_000, content.length - from));
      }
    }
  }
}
