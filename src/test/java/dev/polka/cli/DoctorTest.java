package dev.polka.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.Backend;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class DoctorTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  @Test
  void everyFactHasALineOfItsOwn() {
    int status = polka("doctor");

    assertThat(status).isZero();
    assertThat(names())
        .containsExactly(
            "version",
            "platform",
            "native library",
            "SIMD target",
            "threads",
            "CUDA",
            "glibc",
            "libtorch",
            "Java");
  }

  @Test
  void whatIsPrintedIsWhatIsThere() {
    polka("doctor");

    assertThat(lines())
        .contains("version: " + Backend.version(), "threads: " + Backend.threads())
        .anyMatch(line -> line.matches("native library: /.*/libjnipolka\\.so"))
        .anyMatch(line -> line.matches("libtorch: found: /.*/libjnitorch\\.so"))
        .anyMatch(line -> line.startsWith("Java: " + Runtime.version()));
  }

  @Test
  void anUnknownSubcommandIsWrongUse() {
    assertThat(polka("cure")).isEqualTo(2);
    assertThat(err.toString()).contains("cure");
  }

  private int polka(String... arguments) {
    return Main.commandLine()
        .setOut(new PrintWriter(out))
        .setErr(new PrintWriter(err))
        .execute(arguments);
  }

  private List<String> lines() {
    return Arrays.asList(out.toString().split("\n"));
  }

  private List<String> names() {
    return lines().stream().map(line -> line.substring(0, line.indexOf(':'))).toList();
  }
}
