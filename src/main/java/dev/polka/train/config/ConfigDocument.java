package dev.polka.train.config;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import dev.polka.train.InputException;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/**
 * A parsed YAML or JSON text that remembers on which line each value stands.
 *
 * @param name of the file, for messages
 * @param root the content
 * @param lines line numbers from 1, by JSON pointer
 */
record ConfigDocument(String name, JsonNode root, Map<String, Integer> lines) {
  private static final ObjectMapper YAML =
      YAMLMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();
  private static final ObjectMapper JSON =
      JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  static ConfigDocument parse(String name, String text) {
    ObjectMapper mapper = name.endsWith(".json") ? JSON : YAML;
    try {
      JsonNode root = mapper.readTree(text);
      if (root == null || !root.isObject()) {
        throw new InputException(name + ": holds no keys");
      }
      return new ConfigDocument(name, root, lines(mapper, text));
    } catch (JsonProcessingException e) {
      JsonLocation at = e.getLocation();
      throw new InputException(
          name + (at == null ? "" : ":" + at.getLineNr()) + ": " + reason(e), e);
    } catch (IOException e) {
      throw new InputException(name + ": " + e.getMessage(), e);
    }
  }

  private static String reason(JsonProcessingException e) {
    // The parser's message repeats the text over several lines; what is wrong comes first.
    return String.valueOf(e.getOriginalMessage()).lines().findFirst().orElse("is not readable");
  }

  private static Map<String, Integer> lines(ObjectMapper mapper, String text) throws IOException {
    Map<String, Integer> lines = new HashMap<>();
    try (JsonParser parser = mapper.createParser(text)) {
      for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
        String pointer = parser.getParsingContext().pathAsPointer().toString();
        // For a key with a nested value the key's own line comes first and is kept.
        lines.putIfAbsent(pointer, parser.currentTokenLocation().getLineNr());
      }
    }
    return lines;
  }
}
