package dev.polka.memory.internal;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Versions of the GNU C library: the one this process runs on, the one a library file asks for. */
public final class Glibc {
  private static final Pattern SYMBOL_VERSION = Pattern.compile("GLIBC_(\\d+)\\.(\\d+)");

  private Glibc() {}

  /**
   * The C library that this process has mapped. Read from the file itself, so that it works while
   * no native library can be loaded.
   *
   * @return its version, such as {@code 2.36}; empty where the C library is another one
   */
  public static Optional<String> found() {
    try (Stream<String> maps =
        Files.lines(Path.of("/proc/self/maps"), StandardCharsets.ISO_8859_1)) {
      Optional<String> file =
          maps.map(line -> line.substring(line.lastIndexOf(' ') + 1))
              .filter(path -> path.endsWith("/libc.so.6") || path.matches(".*/libc-2\\.\\d+\\.so"))
              .findFirst();
      return file.isEmpty() ? Optional.empty() : highest(Files.readAllBytes(Path.of(file.get())));
    } catch (IOException unreadable) {
      return Optional.empty(); // No /proc: not Linux, so no glibc either.
    }
  }

  /**
   * The lowest C library that a shared object can be loaded with.
   *
   * @param library the file's contents
   * @return the highest glibc version among its symbols; empty if it names none
   * @throws IOException if the contents cannot be read
   */
  public static Optional<String> needed(InputStream library) throws IOException {
    return highest(library.readAllBytes());
  }

  private static Optional<String> highest(byte[] elf) {
    Matcher matcher = SYMBOL_VERSION.matcher(new String(elf, StandardCharsets.ISO_8859_1));
    int major = 0;
    int minor = 0;
    while (matcher.find()) {
      int nextMajor = Integer.parseInt(matcher.group(1));
      int nextMinor = Integer.parseInt(matcher.group(2));
      if (nextMajor > major || nextMajor == major && nextMinor > minor) {
        major = nextMajor;
        minor = nextMinor;
      }
    }
    return major == 0 ? Optional.empty() : Optional.of(major + "." + minor);
  }
}
