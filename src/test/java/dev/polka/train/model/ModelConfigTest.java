package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.DType;
import dev.polka.train.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelConfigTest {
  private static final String LLAMA =
      """
      {"model_type": "llama", "vocab_size": 37, "hidden_size": 64, "intermediate_size": 96,
       "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128,
       "rms_norm_eps": 1e-6, "eos_token_id": [2, 3], "dtype": "bfloat16",
       "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}%s}
      """;

  @TempDir Path directory;

  @Test
  void aConfigurationComesBackAsItWasWritten() {
    ModelConfig config =
        new ModelConfig(41, 96, 160, 3, 6, 2, 77, 5e5, 1e-6, false, List.of(7, 40), DType.BF16);
    Path file = directory.resolve("config.json");

    config.write(file, DType.F32);

    assertThat(ModelConfig.read(file)).isEqualTo(config);
  }

  @Test
  void theStoredTypeIsWrittenForHuggingFace() throws IOException {
    Path file = directory.resolve("config.json");

    ModelConfig.student(13, 32).write(file, DType.BF16);

    assertThat(Files.readString(file)).contains("\"torch_dtype\" : \"bfloat16\"");
  }

  @Test
  void aFileFromHuggingFaceIsReadWithItsDefaults() throws IOException {
    ModelConfig config = ModelConfig.read(file(LLAMA.formatted("")));

    assertThat(config)
        .isEqualTo(
            new ModelConfig(37, 64, 96, 2, 4, 4, 128, 5e5, 1e-6, false, List.of(2, 3), DType.F32));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"hidden_act\": \"gelu\"|hidden_act is \"gelu\", only silu is supported",
        "\"attention_bias\": true|attention_bias is true, only false is supported",
        "\"rope_scaling\": {\"factor\": 8}|rope_scaling is {\"factor\":8}, only null is supported",
        "\"head_dim\": 32|head_dim is 32, only hidden_size / num_attention_heads is supported",
        "\"num_key_value_heads\": 3|kvHeads is 3, must divide heads = 4",
        "\"rope_theta\": \"x\", \"rope_parameters\": {}|Duplicate field 'rope_parameters'",
      })
  void whatIsNotComputedIsRefusedByName(String addition, String message) throws IOException {
    Path file = file(LLAMA.formatted(", " + addition));

    assertThatThrownBy(() -> ModelConfig.read(file))
        .isInstanceOf(InputException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining(message);
  }

  @Test
  void aMissingKeyIsNamed() throws IOException {
    Path file = file("{\"model_type\": \"llama\", \"num_attention_heads\": 4}");

    assertThatThrownBy(() -> ModelConfig.read(file))
        .isInstanceOf(InputException.class)
        .hasMessage(file + ": hidden_size is missing, must be an integer");
  }

  @Test
  void aMissingFileIsNamed() {
    Path file = directory.resolve("absent.json");

    assertThatThrownBy(() -> ModelConfig.read(file)).hasMessage(file + ": no such file");
  }

  @Test
  void headsMustDivideTheWidthEvenly() {
    assertThatThrownBy(
            () -> new ModelConfig(13, 50, 64, 2, 4, 2, 32, 1e4, 1e-5, true, List.of(), DType.F32))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("hiddenSize is 50, must be a multiple of 2 * heads = 8");
  }

  private Path file(String text) throws IOException {
    return Files.writeString(directory.resolve("config.json"), text);
  }
}
