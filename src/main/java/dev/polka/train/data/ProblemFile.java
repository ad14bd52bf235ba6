package dev.polka.train.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.polka.train.FileFailure;
import dev.polka.train.InputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Reads problems from a JSONL file: UTF-8, one JSON object a line, blank lines allowed.
 *
 * <p>Two layouts, which may be mixed: {@code {"prompt": ..., "answer": ...}}, and GSM8K's {@code
 * {"question": ..., "answer": "worked solution #### 42"}}, where the reference answer is what
 * follows the last {@code ####} and the whole text is the solution that a supervised stage teaches
 * (Cobbe et al., "Training verifiers to solve math word problems", 2021). Other keys are ignored.
 * An answer may be a JSON number.
 */
public final class ProblemFile {
  /** What stands before the final answer in a GSM8K solution. */
  public static final String ANSWER_MARK = "####";

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .build();

  private final Path file;
  private final String name;

  private ProblemFile(Path file) {
    this.file = file;
    this.name = file.toString();
  }

  /**
   * Reads every problem of a file.
   *
   * @param file the JSONL file
   * @return its problems in file order, at least one; each {@link Problem#source()} is {@code
   *     file:line}
   * @throws InputException if the file is missing, unreadable or holds no problem, or a line is not
   *     a problem; the message begins with {@code file:line}
   */
  public static List<Problem> read(Path file) {
    return new ProblemFile(file).problems();
  }

  private List<Problem> problems() {
    if (!Files.exists(file)) {
      throw new InputException(name + ": no such file");
    }
    byte[] bytes;
    try {
      bytes = Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InputException(name + ": cannot be read: " + FileFailure.text(e), e);
    }
    var problems = new ArrayList<Problem>();
    int start = 0;
    for (int number = 1; start < bytes.length; number++) {
      int end = start;
      while (end < bytes.length && bytes[end] != '\n') {
        end++;
      }
      String line = decode(bytes, start, end, number).strip();
      if (!line.isEmpty()) {
        problems.add(problem(line, number));
      }
      start = end + 1;
    }
    if (problems.isEmpty()) {
      throw new InputException(name + ": holds no problem; one JSON object a line is expected");
    }
    return problems;
  }

  private String decode(byte[] bytes, int start, int end, int number) {
    try {
      String line =
          StandardCharsets.UTF_8
              .newDecoder()
              .decode(ByteBuffer.wrap(bytes, start, end - start))
              .toString();
      return number == 1 && line.startsWith("\uFEFF") ? line.substring(1) : line;
    } catch (CharacterCodingException e) {
      throw new InputException(at(number) + "is not UTF-8", e);
    }
  }

  private Problem problem(String line, int number) {
    JsonNode node;
    try {
      node = JSON.readTree(line);
    } catch (JsonProcessingException e) {
      throw new InputException(at(number) + "is not JSON: " + firstLine(e), e);
    }
    if (!node.isObject()) {
      throw new InputException(at(number) + "is not a JSON object");
    }
    boolean prompt = node.has("prompt");
    if (prompt == node.has("question")) {
      throw new InputException(
          at(number)
              + (prompt ? "has both 'prompt' and 'question'" : "has no 'prompt' (or 'question')"));
    }
    String answer = text(node, "answer", number);
    String source = name + ":" + number;
    if (prompt) {
      return new Problem(text(node, "prompt", number), answer, answer, source);
    }
    int mark = answer.lastIndexOf(ANSWER_MARK);
    String last = mark < 0 ? "" : answer.substring(mark + ANSWER_MARK.length()).strip();
    if (last.isEmpty()) {
      throw new InputException(at(number) + "'answer' has no '#### ' with the final answer");
    }
    return new Problem(text(node, "question", number), last, answer, source);
  }

  private String text(JsonNode node, String key, int number) {
    JsonNode value = node.get(key);
    if (value == null) {
      throw new InputException(at(number) + "has no '" + key + "'");
    }
    if (!value.isTextual() && !value.isNumber()) {
      throw new InputException(at(number) + "'" + key + "' is neither a text nor a number");
    }
    String text = value.isNumber() ? value.decimalValue().toPlainString() : value.textValue();
    if (text.isBlank()) {
      throw new InputException(at(number) + "'" + key + "' is empty");
    }
    return text;
  }

  private String at(int number) {
    return name + ":" + number + ": ";
  }

  private static String firstLine(JsonProcessingException e) {
    // What follows is a position within the line, in the parser's own terms.
    return e.getOriginalMessage()
        .lines()
        .findFirst()
        .orElse("unreadable")
        .replaceFirst(" \\(.*", "");
  }
}
