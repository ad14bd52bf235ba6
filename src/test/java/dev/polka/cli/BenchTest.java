package dev.polka.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;

class BenchTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int bench(String... options) {
    String[] arguments = new String[options.length + 1];
    arguments[0] = "bench";
    System.arraycopy(options, 0, arguments, 1, options.length);
    return Main.commandLine()
        .setOut(new PrintWriter(out))
        .setErr(new PrintWriter(err))
        .execute(arguments);
  }

  @Test
  void bothWaysOfALinearHeadAreMeasuredAndAgreeOnTheLoss() {
    int status =
        bench(
            "--linear-head", "--rows", "40", "--width", "8", "--vocabulary", "300", "--runs", "2");
    assertThat(status).as(err.toString()).isZero();
    assertThat(out.toString())
        .contains("linear head, f32, N 40, D 8, V 300;")
        .containsPattern("Polka, token ratios \\(GRPO\\) +[0-9.]+ +[0-9.]+ +-?[0-9]+ MB")
        .containsPattern("Polka, sequence ratios \\(GSPO\\) +[0-9.]+ +[0-9.]+ +-?[0-9]+ MB")
        .containsPattern("libtorch, the plain way +[0-9.]+ +[0-9.]+ +-?[0-9]+ MB")
        .containsPattern("\\(loss (-?[0-9.]+)[0-9] and \\1[0-9]\\)");
  }

  @Test
  void itRunsInBf16() {
    int status =
        bench("--linear-head", "--bf16", "--rows", "16", "--width", "8", "--vocabulary", "100");
    assertThat(status).as(err.toString()).isZero();
    assertThat(out.toString()).contains("linear head, bf16");
  }

  @Test
  void withoutABenchmarkOrWithSizesOfNothingItIsWrongUse() {
    assertThat(bench()).isEqualTo(2);
    assertThat(err.toString()).contains("--linear-head").contains("see ./polka bench --help");
    assertThat(bench("--linear-head", "--rows", "0")).isEqualTo(2);
    assertThat(err.toString()).contains("rows, width, budget and runs are at least 1");
  }
}
