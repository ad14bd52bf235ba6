package dev.polka.train.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ProblemFileTest {
  private static final Path SAMPLE = Path.of("src/test/resources/train/word-problems.jsonl");

  @TempDir Path folder;

  @Test
  void bothLayoutsAreRead() {
    List<Problem> problems = ProblemFile.read(SAMPLE);
    assertThat(problems)
        .extracting(Problem::answer)
        .containsExactly("22", "12,000", "-4", "2.50", "42", "6");
    assertThat(problems.get(0).prompt()).startsWith("A shelf holds");
    assertThat(problems.get(0).solution()).contains("24 - 2 =").endsWith("#### 22");
    assertThat(problems.get(4).solution()).isEqualTo("42");
  }

  @Test
  void sourceIsFileAndLineWithBlankLinesCounted() {
    assertThat(ProblemFile.read(SAMPLE).get(3).source()).isEqualTo(SAMPLE + ":5");
  }

  @Test
  void referenceSolutionsVerifyAgainstTheirAnswers() {
    for (Problem problem : ProblemFile.read(SAMPLE)) {
      assertThat(NumericEquality.marked().score(problem, problem.solution())).isEqualTo(1);
      assertThat(NumericEquality.lastNumber().score(problem, problem.solution())).isEqualTo(1);
      assertThat(NumericEquality.marked().score(problem, problem.answer())).isEqualTo(1);
    }
  }

  /** Run with -Dpolka.gsm8k=FILE: every line must parse and verify against itself. */
  @Test
  @EnabledIfSystemProperty(named = "polka.gsm8k", matches = ".+")
  void everyLineOfGsm8kParsesAndVerifiesAgainstItself() throws IOException {
    Path file = Path.of(System.getProperty("polka.gsm8k"));
    List<Problem> problems = ProblemFile.read(file);
    long lines;
    try (var all = Files.lines(file)) {
      lines = all.filter(line -> !line.isBlank()).count();
    }
    assertThat(problems).hasSize(Math.toIntExact(lines));
    for (Problem problem : problems) {
      assertThat(NumericAnswer.parse(problem.answer())).as(problem.source()).isPresent();
      assertThat(NumericEquality.marked().score(problem, problem.answer())).isEqualTo(1);
      assertThat(NumericEquality.marked().score(problem, problem.solution())).isEqualTo(1);
      assertThat(NumericEquality.lastNumber().score(problem, problem.solution())).isEqualTo(1);
      assertThat(new ExactMatch().score(problem, problem.answer())).isEqualTo(1);
    }
  }

  @Test
  void byteOrderMarkAndCarriageReturnsAreNoObstacle() throws IOException {
    Path file = folder.resolve("windows.jsonl");
    Files.writeString(
        file, "\uFEFF{\"prompt\":\"a\",\"answer\":\"b\"}\r\n{\"prompt\":\"c\",\"answer\":\"d\"}");
    assertThat(ProblemFile.read(file)).extracting(Problem::prompt).containsExactly("a", "c");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"prompt\": \"a\"}                       | :2: has no 'answer'",
        "{\"prompt\": \"a\"                        | :2: is not JSON: Unexpected end-of-input",
        "{\"answer\": \"a\"}                       | :2: has no 'prompt' (or 'question')",
        "{\"prompt\": \"a\", \"question\": \"a\"}  | :2: has both 'prompt' and 'question'",
        "{\"prompt\": \"\", \"answer\": \"1\"}     | :2: 'prompt' is empty",
        "{\"prompt\": \"a\", \"answer\": [1]}      | :2: 'answer' is neither a text nor a number",
        "{\"question\": \"a\", \"answer\": \"4\"}  | :2: 'answer' has no '#### ' with the final answer",
        "[1]                                       | :2: is not a JSON object",
        "{\"prompt\": \"a\", \"answer\": \"1\"} {} | :2: is not JSON",
        "prompt,answer                             | :2: is not JSON",
      })
  void badLinesAreNamedByFileAndLine(String line, String message) throws IOException {
    Path file = folder.resolve("bad.jsonl");
    Files.writeString(file, "{\"prompt\": \"a\", \"answer\": \"b\"}\n" + line + "\n");
    assertThatThrownBy(() -> ProblemFile.read(file))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith(file + message)
        .message()
        .hasLineCount(1);
  }

  @Test
  void missingEmptyAndBinaryFilesAreRefused() throws IOException {
    Path missing = folder.resolve("missing.jsonl");
    assertThatThrownBy(() -> ProblemFile.read(missing))
        .isInstanceOf(InputException.class)
        .hasMessage(missing + ": no such file");
    Path empty = Files.writeString(folder.resolve("empty.jsonl"), "\n\n");
    assertThatThrownBy(() -> ProblemFile.read(empty))
        .isInstanceOf(InputException.class)
        .hasMessage(empty + ": holds no problem; one JSON object a line is expected");
    Path latin = Files.write(folder.resolve("latin.jsonl"), new byte[] {'{', (byte) 0xE9, '}'});
    assertThatThrownBy(() -> ProblemFile.read(latin))
        .isInstanceOf(InputException.class)
        .hasMessage(latin + ":1: is not UTF-8");
  }
}
