package dev.polka.train.checkpoint;

import java.io.IOException;
import java.nio.file.Path;

/** Writes one file of a checkpoint; the store flushes it to disk afterwards. */
@FunctionalInterface
public interface FileContent {
  /**
   * Writes the whole file.
   *
   * @param file a path in an existing folder, where no file is yet
   * @throws IOException if it cannot be written; nothing of the checkpoint is kept then
   */
  void writeTo(Path file) throws IOException;
}
