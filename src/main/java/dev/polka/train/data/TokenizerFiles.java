package dev.polka.train.data;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polka.train.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.OptionalInt;

/**
 * What a Hugging Face model directory says about its tokenizer, as far as Polka itself needs it.
 *
 * @param directory the model directory
 * @param tokenizer content of {@code tokenizer.json}
 * @param settings content of {@code tokenizer_config.json}; missing node if there is no such file
 * @param model content of {@code config.json}; missing node if there is no such file
 */
record TokenizerFiles(Path directory, JsonNode tokenizer, JsonNode settings, JsonNode model) {
  static final String TOKENIZER = "tokenizer.json";
  static final String SETTINGS = "tokenizer_config.json";
  private static final ObjectMapper JSON = new ObjectMapper();

  static TokenizerFiles read(Path directory) {
    if (!Files.isRegularFile(directory.resolve(TOKENIZER))) {
      throw new InputException(directory.resolve(TOKENIZER) + ": no such file");
    }
    return new TokenizerFiles(
        directory,
        json(directory.resolve(TOKENIZER)),
        json(directory.resolve(SETTINGS)),
        json(directory.resolve("config.json")));
  }

  private static JsonNode json(Path file) {
    if (!Files.exists(file)) {
      return JSON.missingNode();
    }
    try {
      return JSON.readTree(file.toFile());
    } catch (IOException e) {
      throw new InputException(
          file + ": is not JSON: " + String.valueOf(e.getMessage()).lines().findFirst().orElse(""),
          e);
    }
  }

  /** The id of a token's text, among the added tokens and the model's vocabulary. */
  OptionalInt id(String token) {
    for (JsonNode added : tokenizer.path("added_tokens")) {
      if (added.path("content").asText().equals(token)) {
        return OptionalInt.of(added.path("id").asInt());
      }
    }
    JsonNode vocab = tokenizer.path("model").path("vocab");
    if (vocab.isObject() && vocab.has(token)) {
      return OptionalInt.of(vocab.get(token).asInt());
    }
    for (int i = 0; vocab.isArray() && i < vocab.size(); i++) { // Unigram: [text, score] pairs
      if (vocab.get(i).path(0).asText().equals(token)) {
        return OptionalInt.of(i);
      }
    }
    return OptionalInt.empty();
  }

  /** One more than the largest id of the added tokens and the model's vocabulary. */
  int vocabSize() {
    int largest = -1;
    for (JsonNode added : tokenizer.path("added_tokens")) {
      largest = Math.max(largest, added.path("id").asInt());
    }
    JsonNode vocab = tokenizer.path("model").path("vocab");
    if (vocab.isArray()) {
      return Math.max(largest, vocab.size() - 1) + 1;
    }
    for (Iterator<JsonNode> ids = vocab.elements(); ids.hasNext(); ) {
      largest = Math.max(largest, ids.next().asInt());
    }
    return largest + 1;
  }

  /** The end-of-sequence id: by name in the settings, otherwise by number in the model's config. */
  int endOfSequence() {
    JsonNode eos = settings.path("eos_token");
    String text = eos.isObject() ? eos.path("content").asText() : eos.asText("");
    if (!text.isEmpty()) {
      return id(text)
          .orElseThrow(
              () ->
                  new InputException(
                      directory.resolve(SETTINGS)
                          + ": eos_token '"
                          + text
                          + "' is not in "
                          + TOKENIZER));
    }
    JsonNode number = model.path("eos_token_id");
    if (number.isArray()) {
      number = number.path(0);
    }
    if (!number.isInt()) {
      throw new InputException(
          directory
              + ": names no end-of-sequence token; expected eos_token in "
              + SETTINGS
              + " or eos_token_id in config.json");
    }
    return number.asInt();
  }
}
