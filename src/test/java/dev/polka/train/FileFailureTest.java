package dev.polka.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import org.junit.jupiter.api.Test;

class FileFailureTest {
  @Test
  void whatTheFileSystemLeavesOutIsSaid() {
    assertThat(FileFailure.text(new AccessDeniedException("/data/run")))
        .isEqualTo("/data/run: no permission");
    assertThat(FileFailure.text(new NoSuchFileException("/data/run")))
        .isEqualTo("/data/run: no such file or folder");
  }

  @Test
  void whatIsSaidAlreadyStays() {
    assertThat(FileFailure.text(new FileSystemException("/data", null, "Read-only file system")))
        .isEqualTo("/data: Read-only file system");
    assertThat(FileFailure.text(new IOException("a pipe broke"))).isEqualTo("a pipe broke");
    assertThat(FileFailure.text(new IOException())).isEqualTo("java.io.IOException");
  }
}
