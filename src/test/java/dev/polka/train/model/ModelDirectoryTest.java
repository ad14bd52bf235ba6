package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polka.memory.DType;
import dev.polka.train.InputException;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelDirectoryTest {
  private static final String QUERY = "model.layers.0.self_attn.q_proj.weight";

  @TempDir Path directory;

  /** The expected values are transformers 5.18's, in f64, for the same files. */
  @Test
  void aStoredModelHasTheLogProbsOfHuggingFacesLlama() throws Exception {
    Path stored = stored();
    try (LlamaModel model = LlamaModel.load(stored)) {
      for (JsonNode sequence :
          new ObjectMapper().readTree(stored.resolve("expected.json").toFile()).get("sequences")) {
        int[] tokens = new ObjectMapper().convertValue(sequence.get("tokens"), int[].class);
        double[] expected =
            new ObjectMapper().convertValue(sequence.get("log_probs"), double[].class);
        ResponseBatch batch =
            ResponseBatch.of(
                List.of(Arrays.copyOf(tokens, 1)),
                List.of(Arrays.copyOfRange(tokens, 1, tokens.length)));

        assertThat(Models.trainingLogProbs(model, batch)).containsExactly(expected, within(1e-5));
      }
    }
  }

  @Test
  void savingAgainGivesTheSameBytes() throws Exception {
    try (LlamaModel model = LlamaModel.load(stored())) {
      model.save(directory, DType.F32);
    }

    assertThat(directory.resolve("model.safetensors"))
        .hasSameBinaryContentAs(stored().resolve("model.safetensors"));
    assertThat(directory.resolve("config.json"))
        .hasSameBinaryContentAs(stored().resolve("config.json"));
  }

  @Test
  void bf16StoresTheNearestValues() {
    try (LlamaModel model = Models.student(DType.F32);
        PointerScope scope = new PointerScope()) {
      model.save(directory, DType.BF16);
      try (LlamaModel loaded = LlamaModel.load(directory)) {
        Tensor rounded = model.parameters().values().to(ScalarType.BFloat16).to(ScalarType.Float);
        assertThat(loaded.parameters().values().equal(rounded)).isTrue();
        assertThat(loaded.config()).isEqualTo(model.config());
      }
    }
  }

  @Test
  void aHeadOfItsOwnIsStored() {
    ModelConfig config = ModelConfig.teacher(Models.VOCAB, 32).withTiedHead(false);
    try (LlamaModel model = LlamaModel.create(config, 3)) {
      model.save(directory, DType.F32);
      try (LlamaModel loaded = LlamaModel.load(directory)) {
        assertThat(loaded.parameters().named()).containsKey("lm_head.weight");
        assertThat(loaded.parameters().values().equal(model.parameters().values())).isTrue();
      }
    }
  }

  @Test
  void aLoadedModelComputesInTheTypeAskedFor() {
    try (LlamaModel model = Models.student(DType.BF16)) {
      model.save(directory, DType.F32);
    }
    try (LlamaModel asSaved = LlamaModel.load(directory);
        LlamaModel asAsked = LlamaModel.load(directory, DType.F32)) {
      assertThat(asSaved.config().dtype()).isEqualTo(DType.BF16);
      assertThat(asAsked.config().dtype()).isEqualTo(DType.F32);
    }
  }

  @Test
  void aMissingTensorIsNamed() {
    assertRefused(
        tensors -> tensors.remove(QUERY), "tensor " + QUERY + " is missing, of shape [48, 48]");
  }

  @Test
  void anUnexpectedTensorIsNamed() {
    assertRefused(
        tensors -> tensors.put("extra.bias", torch.zeros(3)),
        "tensor extra.bias is unexpected, config.json has no place for it");
  }

  @Test
  void aTensorOfAnotherShapeIsNamed() {
    assertRefused(
        tensors -> tensors.put(QUERY, torch.zeros(48, 32)),
        "tensor " + QUERY + " has the shape [48, 32], must have [48, 48]");
  }

  @Test
  void aTensorOfAnotherTypeIsNamed() {
    assertRefused(
        tensors -> tensors.put(QUERY, torch.zeros(48, 48).to(ScalarType.Double)),
        "tensor " + QUERY + " is of type F64, must be one of [F32, BF16, F16]");
  }

  @Test
  void aTiedHeadMayBeStoredIfItIsTheEmbedding() {
    rewrite(tensors -> tensors.put("lm_head.weight", tensors.get("model.embed_tokens.weight")));
    LlamaModel.load(directory).close();

    assertRefused(
        tensors ->
            tensors.put(
                "lm_head.weight", tensors.get("model.embed_tokens.weight").mul(new Scalar(2.0))),
        "tensor lm_head.weight differs from model.embed_tokens.weight");
  }

  @Test
  void aDirectoryWithoutWeightsIsNamed() {
    ModelConfig.student(Models.VOCAB, 32).write(directory.resolve("config.json"), DType.F32);

    assertThatThrownBy(() -> LlamaModel.load(directory))
        .isInstanceOf(InputException.class)
        .hasMessage(directory.resolve("model.safetensors") + ": no such file");
  }

  private interface Change {
    void apply(Map<String, Tensor> tensors);
  }

  private void assertRefused(Change change, String message) {
    rewrite(change);

    assertThatThrownBy(() -> LlamaModel.load(directory))
        .isInstanceOf(InputException.class)
        .hasMessageContaining(directory.resolve("model.safetensors") + ": " + message);
  }

  private void rewrite(Change change) {
    try (LlamaModel model = Models.student(DType.F32);
        PointerScope scope = new PointerScope()) {
      model.save(directory, DType.F32);
      Map<String, Tensor> tensors = new LinkedHashMap<>(model.parameters().named());
      change.apply(tensors);
      Safetensors.write(directory.resolve("model.safetensors"), tensors, Map.of());
    }
  }

  private static Path stored() throws URISyntaxException, IOException {
    Path stored =
        Path.of(ModelDirectoryTest.class.getResource("/train/tiny-llama/config.json").toURI())
            .getParent();
    assertThat(Files.list(stored)).hasSize(3);
    return stored;
  }
}
