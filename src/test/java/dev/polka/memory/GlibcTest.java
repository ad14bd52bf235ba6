package dev.polka.memory;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.internal.Glibc;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class GlibcTest {
  private static java.util.Optional<String> needed(String contents) throws IOException {
    byte[] bytes = contents.getBytes(StandardCharsets.ISO_8859_1);
    return Glibc.needed(new ByteArrayInputStream(bytes));
  }

  @Test
  void theHighestVersionAmongTheSymbolsIsNeeded() throws IOException {
    assertThat(needed("\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_PRIVATE\0")).hasValue("2.34");
  }

  @Test
  void aFileWithoutVersionsNeedsNone() throws IOException {
    assertThat(needed("nothing")).isEmpty();
  }

  @Test
  void theMachinesOwnIsFound() {
    assertThat(Glibc.found()).hasValueSatisfying(v -> assertThat(v).matches("2\\.\\d+"));
  }
}
