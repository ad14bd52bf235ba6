package dev.polka.train.config;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.ser.std.ToStringSerializerBase;
import dev.polka.train.InputException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * A pipeline with every default written out: what a run records, so that a later {@code --resume}
 * can tell whether it would go on with the same run.
 */
public final class PipelineTree {
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .defaultPropertyInclusion(
              JsonInclude.Value.construct(
                  JsonInclude.Include.NON_NULL, JsonInclude.Include.NON_NULL))
          .addModule(
              new SimpleModule()
                  .addSerializer(
                      Enum.class,
                      new ToStringSerializerBase(Enum.class) {
                        private static final long serialVersionUID = 1;

                        @Override
                        public String valueToString(Object constant) {
                          return ConfigNode.spelled((Enum<?>) constant);
                        }
                      }))
          .build();

  private final JsonNode tree;

  private PipelineTree(JsonNode tree) {
    this.tree = tree;
  }

  /**
   * The values of a pipeline.
   *
   * @param pipeline the pipeline
   * @return its tree
   */
  public static PipelineTree of(Pipeline pipeline) {
    ObjectNode tree = JSON.valueToTree(pipeline);
    ArrayNode stages = (ArrayNode) tree.get("stages");
    for (int i = 0; i < stages.size(); i++) {
      ObjectNode stage = JSON.createObjectNode();
      stage.put("kind", ConfigNode.spelled(pipeline.stages().get(i).kind()));
      stage.setAll((ObjectNode) stages.get(i));
      stages.set(i, stage);
    }
    return new PipelineTree(tree);
  }

  /**
   * Reads what {@link #json} wrote.
   *
   * @param text the JSON text
   * @param name of the file, for messages
   * @return the tree
   * @throws InputException if the text is not JSON
   */
  public static PipelineTree parse(String text, String name) {
    try {
      return new PipelineTree(JSON.readTree(text));
    } catch (JsonProcessingException e) {
      throw new InputException(name + ": is not JSON", e);
    }
  }

  /**
   * The values as JSON that {@link PipelineFile} reads again.
   *
   * @return indented text
   */
  public String json() {
    return tree.toPrettyString() + "\n";
  }

  /**
   * A fingerprint of all values.
   *
   * @return 64 hexadecimal digits: SHA-256 of the values in order
   */
  public String hash() {
    try {
      byte[] text = tree.toString().getBytes(StandardCharsets.UTF_8);
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every Java platform has SHA-256
    }
  }

  /**
   * What differs in another pipeline.
   *
   * @param other the other values
   * @return one line a key, {@code stages.teacher.steps: 200 -> 300}, in alphabetical order; empty
   *     if nothing differs
   */
  public List<String> differences(PipelineTree other) {
    Map<String, String> mine = new TreeMap<>();
    Map<String, String> theirs = new TreeMap<>();
    flatten("", tree, mine);
    flatten("", other.tree, theirs);
    Set<String> keys = new LinkedHashSet<>(new TreeMap<>(mine).keySet());
    keys.addAll(theirs.keySet());
    List<String> differences = new ArrayList<>();
    for (String key : keys.stream().sorted().toList()) {
      String before = mine.getOrDefault(key, "absent");
      String after = theirs.getOrDefault(key, "absent");
      if (!before.equals(after)) {
        differences.add(key + ": " + before + " -> " + after);
      }
    }
    return differences;
  }

  private static void flatten(String path, JsonNode node, Map<String, String> values) {
    if (node.isObject()) {
      node.properties()
          .forEach(field -> flatten(joined(path, field.getKey()), field.getValue(), values));
    } else if (node.isArray() && node.path(0).has("name")) {
      List<String> order = new ArrayList<>();
      for (JsonNode element : node) {
        order.add(element.get("name").asText());
        flatten(joined(path, element.get("name").asText()), element, values);
      }
      values.put(joined(path, "(order)"), order.toString());
    } else {
      values.put(path, node.toString());
    }
  }

  private static String joined(String path, String key) {
    return path.isEmpty() ? key : path + "." + key;
  }
}
