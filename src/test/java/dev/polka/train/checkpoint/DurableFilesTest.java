package dev.polka.train.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DurableFilesTest {
  @TempDir Path folder;

  private static FileContent text(String text) {
    return file -> Files.writeString(file, text);
  }

  private static FileContent failing() {
    return file -> {
      Files.writeString(file, "half");
      throw new IOException("disk full");
    };
  }

  @Test
  void fileIsReplacedAndAFailureKeepsTheOldOne() throws IOException {
    Path file = folder.resolve("a");
    DurableFiles.writeFile(file, text("one"));
    DurableFiles.writeFile(file, text("two"));
    assertThat(file).hasContent("two");
    assertThatThrownBy(() -> DurableFiles.writeFile(file, failing())).hasMessage("disk full");
    assertThat(file).hasContent("two");
    DurableFiles.writeFile(file, text("three"));
    assertThat(folder)
        .isDirectoryContaining(path -> path.equals(file))
        .isDirectoryNotContaining(path -> !path.equals(file));
  }

  @Test
  void directoryIsReplacedAndAFailureKeepsTheOldOne() throws IOException {
    Path directory = folder.resolve("d");
    DurableFiles.writeDirectory(directory, Map.of("x", text("1"), "y", text("2")), List.of());
    assertThatThrownBy(
            () -> DurableFiles.writeDirectory(directory, Map.of("x", failing()), List.of()))
        .hasMessage("disk full");
    assertThat(directory.resolve("y")).hasContent("2");
    DurableFiles.writeDirectory(directory, Map.of("x", text("3")), List.of());
    assertThat(directory.resolve("x")).hasContent("3");
    assertThat(directory.resolve("y")).doesNotExist();
  }
}
