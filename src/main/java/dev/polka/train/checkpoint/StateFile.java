package dev.polka.train.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polka.train.InputException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32C;

/** {@code state.json}: the state, and length and checksum of the files beside it. */
final class StateFile {
  static final String NAME = "state.json";
  private static final ObjectMapper JSON = new ObjectMapper();

  private StateFile() {}

  /** Writes the state of a directory whose other files are complete. */
  static void write(Path file, TrainingState state, Iterable<String> others) throws IOException {
    ObjectNode root = JSON.createObjectNode();
    root.put("schema", TrainingState.SCHEMA);
    root.put("configHash", state.configHash());
    root.put("seed", state.seed());
    root.put("stage", state.stage());
    root.put("arm", state.arm());
    root.put("step", state.step());
    root.put("dataPosition", state.dataPosition());
    root.put("metricsLength", state.metricsLength());
    root.put("timingLength", state.timingLength());
    ObjectNode counters = root.putObject("counters");
    new TreeMap<>(state.counters()).forEach(counters::put);
    ObjectNode files = root.putObject("files");
    for (String other : others) {
      Path path = file.resolveSibling(other);
      files.putObject(other).put("bytes", Files.size(path)).put("crc32c", checksum(path));
    }
    Files.writeString(file, root.toPrettyString() + "\n");
  }

  /** Reads a state and checks the files beside it. */
  static TrainingState read(Path file) throws IOException {
    JsonNode root = JSON.readTree(file.toFile());
    int schema = root.path("schema").asInt();
    if (schema != TrainingState.SCHEMA) {
      throw new InputException(
          file + ": has schema " + schema + "; this version reads " + TrainingState.SCHEMA);
    }
    for (Map.Entry<String, JsonNode> entry : root.path("files").properties()) {
      Path other = file.resolveSibling(entry.getKey());
      long bytes = entry.getValue().path("bytes").asLong();
      if (!Files.exists(other) || Files.size(other) != bytes) {
        throw new InputException(
            other + ": is missing or not " + bytes + " bytes long; the checkpoint is damaged");
      }
      if (checksum(other) != entry.getValue().path("crc32c").asLong()) {
        throw new InputException(other + ": has a wrong checksum; the checkpoint is damaged");
      }
    }
    var counters = new TreeMap<String, Long>();
    root.path("counters")
        .properties()
        .forEach(e -> counters.put(e.getKey(), e.getValue().asLong()));
    return new TrainingState(
        root.path("configHash").asText(),
        root.path("seed").asLong(),
        root.path("stage").asText(),
        root.path("arm").asText(),
        root.path("step").asLong(),
        root.path("dataPosition").asLong(),
        root.path("metricsLength").asLong(),
        root.path("timingLength").asLong(),
        counters);
  }

  private static long checksum(Path file) throws IOException {
    var checksum = new CRC32C();
    byte[] buffer = new byte[1 << 16];
    try (InputStream content = Files.newInputStream(file)) {
      for (int n = content.read(buffer); n >= 0; n = content.read(buffer)) {
        checksum.update(buffer, 0, n);
      }
    }
    return checksum.getValue();
  }
}
