package dev.polka.train.model;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polka.memory.DType;
import dev.polka.train.InputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** {@code config.json} as Hugging Face's LlamaConfig reads and writes it. */
final class HuggingFaceConfig {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);
  // Their torch_dtype is the type of the stored tensors, so ours needs a key of its own.
  private static final String COMPUTE_DTYPE = "polka_compute_dtype";

  private final Path file;
  private final JsonNode root;

  private HuggingFaceConfig(Path file, JsonNode root) {
    this.file = file;
    this.root = root;
  }

  static ModelConfig read(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new InputException(file + ": no such file");
    }
    try {
      return new HuggingFaceConfig(file, JSON.readTree(file.toFile())).config();
    } catch (IOException e) {
      throw new InputException(file + ": is not JSON: " + firstLine(e), e);
    }
  }

  static void write(ModelConfig config, Path file, DType stored) {
    ObjectNode json = JSON.createObjectNode();
    json.putArray("architectures").add("LlamaForCausalLM");
    json.put("model_type", "llama");
    json.put("vocab_size", config.vocabSize());
    json.put("hidden_size", config.hiddenSize());
    json.put("intermediate_size", config.intermediateSize());
    json.put("num_hidden_layers", config.layers());
    json.put("num_attention_heads", config.heads());
    json.put("num_key_value_heads", config.kvHeads());
    json.put("head_dim", config.headDim());
    json.put("max_position_embeddings", config.contextLength());
    json.put("rope_theta", config.ropeTheta());
    json.put("rms_norm_eps", config.rmsEps());
    json.put("tie_word_embeddings", config.tiedHead());
    json.put("hidden_act", "silu");
    json.put("attention_bias", false);
    json.put("mlp_bias", false);
    json.put("attention_dropout", 0.0);
    // Written although null: their defaults, 1 and 2, would be ordinary tokens of a small
    // vocabulary.
    json.putNull("bos_token_id");
    json.putNull("pad_token_id");
    if (config.eosTokens().isEmpty()) {
      json.putNull("eos_token_id");
    } else if (config.eosTokens().size() == 1) {
      json.put("eos_token_id", config.eosTokens().get(0));
    } else {
      config.eosTokens().forEach(json.putArray("eos_token_id")::add);
    }
    json.put("torch_dtype", name(stored));
    json.put(COMPUTE_DTYPE, name(config.dtype()));
    try {
      Files.writeString(file, json.toPrettyString() + "\n");
    } catch (IOException e) {
      throw new UncheckedIOException(file + ": cannot be written", e);
    }
  }

  private ModelConfig config() {
    require("model_type", "llama");
    require("hidden_act", "silu");
    require("attention_bias", "false");
    require("mlp_bias", "false");
    JsonNode scaling = root.path("rope_scaling");
    if (!scaling.isMissingNode() && !scaling.isNull()) {
      throw unsupported("rope_scaling", scaling, "null");
    }
    JsonNode rope = root.path("rope_parameters");
    if (!rope.path("rope_type").asText("default").equals("default")) {
      throw unsupported("rope_parameters.rope_type", rope.path("rope_type"), "default");
    }
    int heads = integer("num_attention_heads", null);
    int hidden = integer("hidden_size", null);
    if (heads > 0 && integer("head_dim", hidden / heads) * heads != hidden) {
      throw unsupported("head_dim", root.path("head_dim"), "hidden_size / num_attention_heads");
    }
    try {
      return new ModelConfig(
          integer("vocab_size", null),
          hidden,
          integer("intermediate_size", null),
          integer("num_hidden_layers", null),
          heads,
          integer("num_key_value_heads", heads),
          integer("max_position_embeddings", 2048),
          rope.has("rope_theta")
              ? number(rope, "rope_theta", 1e4)
              : number(root, "rope_theta", 1e4),
          number(root, "rms_norm_eps", 1e-6),
          root.path("tie_word_embeddings").asBoolean(false),
          eosTokens(),
          dtype());
    } catch (InputException e) {
      throw e;
    } catch (IllegalArgumentException e) {
      throw new InputException(file + ": " + e.getMessage(), e);
    }
  }

  private void require(String key, String supported) {
    JsonNode value = root.path(key);
    if (!value.isMissingNode() && !value.asText().equals(supported)) {
      throw unsupported(key, value, supported);
    }
  }

  private int integer(String key, Integer fallback) {
    JsonNode value = root.path(key);
    if ((value.isMissingNode() || value.isNull()) && fallback != null) {
      return fallback;
    }
    if (!value.canConvertToInt() || !value.isIntegralNumber()) {
      throw new InputException(file + ": " + key + " is " + shown(value) + ", must be an integer");
    }
    return value.intValue();
  }

  private double number(JsonNode node, String key, double fallback) {
    JsonNode value = node.path(key);
    if (value.isMissingNode()) {
      return fallback;
    }
    if (!value.isNumber()) {
      throw new InputException(file + ": " + key + " is " + shown(value) + ", must be a number");
    }
    return value.doubleValue();
  }

  private List<Integer> eosTokens() {
    JsonNode value = root.path("eos_token_id");
    List<Integer> tokens = new ArrayList<>();
    if (value.isInt()) {
      tokens.add(value.intValue());
    }
    for (JsonNode token : value) {
      tokens.add(token.intValue());
    }
    return tokens;
  }

  private DType dtype() {
    JsonNode value = root.path(COMPUTE_DTYPE);
    return switch (value.asText("float32")) {
      case "float32" -> DType.F32;
      case "bfloat16" -> DType.BF16;
      default -> throw unsupported(COMPUTE_DTYPE, value, "float32 or bfloat16");
    };
  }

  private InputException unsupported(String key, JsonNode value, String supported) {
    return new InputException(
        file + ": " + key + " is " + shown(value) + ", only " + supported + " is supported");
  }

  private static String shown(JsonNode value) {
    return value.isMissingNode() ? "missing" : value.toString();
  }

  static String name(DType dtype) {
    return switch (dtype) {
      case F32 -> "float32";
      case BF16 -> "bfloat16";
      default -> throw new IllegalArgumentException("stored is " + dtype + ", must be F32 or BF16");
    };
  }

  private static String firstLine(Exception e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }
}
