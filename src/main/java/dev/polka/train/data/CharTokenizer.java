package dev.polka.train.data;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polka.train.InputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/**
 * One token a character (a Unicode code point), and id 0 for the end of a sequence. Arithmetic
 * needs 13 tokens.
 *
 * <p>The saved {@code tokenizer.json} is an ordinary Hugging Face file (a word-level model whose
 * words are single characters), so a checkpoint can be used elsewhere with its tokenizer. Immutable
 * and thread-safe.
 */
public final class CharTokenizer implements Tokenizer {
  private static final String END = "<eos>";
  private static final ObjectMapper JSON = new ObjectMapper();

  private final int[] symbols;
  private final Map<Integer, Integer> ids = new HashMap<>();

  private CharTokenizer(int[] symbols) {
    this.symbols = symbols;
    for (int i = 0; i < symbols.length; i++) {
      if (ids.put(symbols[i], i + 1) != null) {
        throw new IllegalArgumentException("symbol " + named(symbols[i]) + " is there twice");
      }
    }
    if (symbols.length == 0) {
      throw new IllegalArgumentException("there are no symbols; at least one is needed");
    }
  }

  /**
   * A tokenizer of given characters.
   *
   * @param symbols each character once; ids are given from 1 in this order
   * @return the tokenizer
   * @throws IllegalArgumentException if symbols is empty or has a character twice
   */
  public static CharTokenizer of(String symbols) {
    return new CharTokenizer(symbols.codePoints().toArray());
  }

  /**
   * A tokenizer of the characters in prompts, answers and solutions.
   *
   * @param problems the problems, at least one
   * @param more further characters, such as those of a template
   * @return the tokenizer; its ids follow the order of code points
   */
  public static CharTokenizer covering(List<Problem> problems, String more) {
    var symbols = new TreeSet<Integer>();
    more.codePoints().forEach(symbols::add);
    for (Problem problem : problems) {
      (problem.prompt() + problem.answer() + problem.solution()).codePoints().forEach(symbols::add);
    }
    return new CharTokenizer(symbols.stream().mapToInt(Integer::intValue).toArray());
  }

  /** The tokenizer that a file describes, if it is one of this kind. */
  static Optional<CharTokenizer> of(TokenizerFiles files) {
    JsonNode model = files.tokenizer().path("model");
    JsonNode vocab = model.path("vocab");
    if (!model.path("type").asText().equals("WordLevel") || vocab.path(END).asInt(-1) != 0) {
      return Optional.empty();
    }
    int[] symbols = new int[vocab.size() - 1];
    for (Iterator<String> words = vocab.fieldNames(); words.hasNext(); ) {
      String word = words.next();
      int id = vocab.get(word).asInt();
      if (word.equals(END)) {
        continue;
      }
      if (word.codePointCount(0, word.length()) != 1 || id < 1 || id > symbols.length) {
        return Optional.empty();
      }
      symbols[id - 1] = word.codePointAt(0);
    }
    return Optional.of(new CharTokenizer(symbols));
  }

  @Override
  public int vocabSize() {
    return symbols.length + 1;
  }

  @Override
  public int endOfSequence() {
    return 0;
  }

  @Override
  public int[] encode(String text) {
    int[] points = text.codePoints().toArray();
    int[] encoded = new int[points.length];
    for (int i = 0; i < points.length; i++) {
      Integer id = ids.get(points[i]);
      if (id == null) {
        throw new InputException(
            "character "
                + named(points[i])
                + " at position "
                + i
                + " is not one of the tokenizer's "
                + symbols.length
                + " symbols");
      }
      encoded[i] = id;
    }
    return encoded;
  }

  @Override
  public String decode(int[] ids) {
    var text = new StringBuilder();
    for (int id : ids) {
      if (id < 0 || id > symbols.length) {
        throw new IllegalArgumentException(
            "token " + id + " is outside the vocabulary of " + vocabSize());
      }
      if (id > 0) {
        text.appendCodePoint(symbols[id - 1]);
      }
    }
    return text.toString();
  }

  @Override
  public void save(Path directory) {
    ObjectNode file = JSON.createObjectNode();
    file.put("version", "1.0");
    file.putNull("truncation").putNull("padding");
    file.putArray("added_tokens")
        .addObject()
        .put("id", 0)
        .put("content", END)
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", true);
    file.putNull("normalizer");
    ObjectNode split = file.putObject("pre_tokenizer");
    split.put("type", "Split").putObject("pattern").put("Regex", "[\\s\\S]");
    split.put("behavior", "Isolated").put("invert", false);
    file.putNull("post_processor");
    file.putObject("decoder").put("type", "Fuse");
    ObjectNode model = file.putObject("model").put("type", "WordLevel");
    ObjectNode vocab = model.putObject("vocab").put(END, 0);
    for (int i = 0; i < symbols.length; i++) {
      vocab.put(Character.toString(symbols[i]), i + 1);
    }
    // Not in the vocabulary, so that an unknown character is an error there as it is here.
    model.put("unk_token", "<unk>");
    ObjectNode settings = JSON.createObjectNode();
    settings.put("tokenizer_class", "PreTrainedTokenizerFast");
    settings.put("eos_token", END).put("pad_token", END);
    settings.put("clean_up_tokenization_spaces", false);
    try {
      write(directory.resolve(TokenizerFiles.TOKENIZER), file);
      write(directory.resolve(TokenizerFiles.SETTINGS), settings);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void write(Path file, JsonNode content) throws IOException {
    Files.writeString(file, content.toPrettyString() + "\n");
  }

  private static String named(int codePoint) {
    String shown =
        Character.isISOControl(codePoint) ? "" : "'" + Character.toString(codePoint) + "' ";
    return shown + String.format("(U+%04X)", codePoint);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof CharTokenizer that && Arrays.equals(symbols, that.symbols);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(symbols);
  }

  @Override
  public String toString() {
    return "CharTokenizer[" + new String(symbols, 0, symbols.length) + "]";
  }
}
