package dev.polka.conformance;

import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * The conformance vectors of a directory: {@code -Dpolka.golden=DIR}, else the copy in the test
 * resources. A directory without a case is an error, and so is a file without one.
 */
final class GoldenVectors {
  private static final JsonMapper JSON =
      JsonMapper.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();

  private GoldenVectors() {}

  static Path directory() {
    String chosen = System.getProperty("polka.golden", "");
    return chosen.isEmpty() ? copy() : Path.of(chosen);
  }

  static Path copy() {
    try {
      return Path.of(GoldenVectors.class.getResource("/golden").toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException("no path to the test resources", e);
    }
  }

  static List<GoldenCase> read(Path directory) {
    List<GoldenCase> cases = new ArrayList<>();
    try (Stream<Path> files = Files.list(directory)) {
      for (Path file : files.filter(f -> f.toString().endsWith(".json")).sorted().toList()) {
        addCases(file, cases);
      }
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + directory, e);
    }
    if (cases.isEmpty()) {
      throw new IllegalStateException("no conformance case in " + directory.toAbsolutePath());
    }
    return cases;
  }

  private static void addCases(Path file, List<GoldenCase> cases) throws IOException {
    JsonNode root = JSON.readTree(file.toFile());
    JsonNode shared = root.path("inputs");
    int index = 0;
    if (root.path("cases").isEmpty()) {
      throw new IllegalStateException(file.toAbsolutePath() + ": has no \"cases\"");
    }
    for (JsonNode one : root.path("cases")) {
      String operation = one.has("op") ? one.get("op").asText() : one.path("source").asText();
      JsonNode own = one.has("inputs") ? one.get("inputs") : MissingNode.getInstance();
      cases.add(
          new GoldenCase(
              file.getFileName().toString(),
              index++,
              operation,
              one.path("options"),
              own,
              shared,
              one.path("expected")));
    }
  }
}
