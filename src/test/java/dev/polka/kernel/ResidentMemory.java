package dev.polka.kernel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** How much memory this process holds, as Linux counts it. */
final class ResidentMemory {
  private static final long PAGE = 4096;

  private ResidentMemory() {}

  static long bytes() throws IOException {
    String[] pages = Files.readString(Path.of("/proc/self/statm")).split(" ");
    return Long.parseLong(pages[1]) * PAGE;
  }
}
