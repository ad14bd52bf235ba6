package dev.polka.cli;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** What this process uses, and what memory the machine has left, as Linux tells it, in bytes. */
final class ProcessUse {
  private static final Path STATUS = Path.of("/proc/self/status");

  private ProcessUse() {}

  /** Resident now. */
  static long resident() {
    return field(STATUS, "VmRSS:");
  }

  /** Resident at most, since {@link #forgetPeak}. */
  static long peak() {
    return field(STATUS, "VmHWM:");
  }

  /** Makes the present the peak. */
  static void forgetPeak() {
    try {
      Files.writeString(Path.of("/proc/self/clear_refs"), "5");
    } catch (IOException e) {
      throw new UncheckedIOException("the peak of resident memory cannot be reset", e);
    }
  }

  /** What the machine can give without swapping. */
  static long available() {
    return field(Path.of("/proc/meminfo"), "MemAvailable:");
  }

  /** Processor time of all threads, in nanoseconds. */
  static long processorNanos() {
    return ProcessHandle.current()
        .info()
        .totalCpuDuration()
        .orElseThrow(() -> new IllegalStateException("the system does not tell processor time"))
        .toNanos();
  }

  private static long field(Path file, String name) {
    try {
      List<String> lines = Files.readAllLines(file);
      for (String line : lines) {
        if (line.startsWith(name)) {
          return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
        }
      }
      throw new IllegalStateException(file + " has no " + name);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
