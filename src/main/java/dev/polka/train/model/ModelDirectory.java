package dev.polka.train.model;

import dev.polka.memory.DType;
import dev.polka.train.InputException;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** A model directory in Hugging Face's layout. */
final class ModelDirectory {
  static final String CONFIG = "config.json";
  static final String WEIGHTS = "model.safetensors";
  // Old Llama checkpoints carry this table of the angles.
  private static final String DERIVED = ".self_attn.rotary_emb.inv_freq";

  private static final Set<DType> FLOATING = EnumSet.of(DType.F32, DType.BF16, DType.F16);

  private ModelDirectory() {}

  static void write(Path directory, ModelConfig config, Parameters parameters, DType stored) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      Map<String, Tensor> tensors = new LinkedHashMap<>(parameters.named());
      if (stored == DType.BF16) {
        tensors.replaceAll((name, tensor) -> tensor.to(ScalarType.BFloat16));
      }
      config.write(directory.resolve(CONFIG), stored);
      Safetensors.write(directory.resolve(WEIGHTS), tensors, Map.of("format", "pt"));
    }
  }

  static void read(Path directory, ModelConfig config, Parameters parameters) {
    Path path = directory.resolve(WEIGHTS);
    try (SafetensorsFile file = SafetensorsFile.open(path);
        PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      for (Map.Entry<String, Tensor> each : parameters.named().entrySet()) {
        file.require(each.getKey(), each.getValue().shape(), FLOATING);
      }
      for (String name : file.names()) {
        if (!parameters.named().containsKey(name) && !name.endsWith(DERIVED)) {
          requireTied(path, file, config, name);
        }
      }
      for (Map.Entry<String, Tensor> each : parameters.named().entrySet()) {
        try (Tensor stored = file.read(each.getKey())) {
          each.getValue().detach().copy_(stored);
        }
      }
    }
  }

  /** Checks the header of the weights: every tensor there, of its shape, and none besides. */
  static void check(Path directory, ModelConfig config) {
    Path path = directory.resolve(WEIGHTS);
    try (SafetensorsFile file = SafetensorsFile.open(path)) {
      Set<String> known = new HashSet<>();
      for (ParameterShape each : ParameterShape.of(config)) {
        file.require(each.name(), each.shape(), FLOATING);
        known.add(each.name());
      }
      for (String name : file.names()) {
        boolean tied = name.equals(ParameterShape.HEAD) && config.tiedHead();
        if (!known.contains(name) && !name.endsWith(DERIVED) && !tied) {
          throw unexpected(path, name);
        }
      }
    }
  }

  private static InputException unexpected(Path path, String name) {
    return new InputException(
        path + ": tensor " + name + " is unexpected, " + CONFIG + " has no place for it");
  }

  /** A tied head may be stored a second time, if it is the embedding. */
  private static void requireTied(
      Path path, SafetensorsFile file, ModelConfig config, String name) {
    boolean known = name.equals(ParameterShape.HEAD) && config.tiedHead();
    if (!known) {
      throw unexpected(path, name);
    }
    if (!file.read(name).equal(file.read(ParameterShape.EMBEDDING))) {
      throw new InputException(
          path
              + ": tensor "
              + name
              + " differs from "
              + ParameterShape.EMBEDDING
              + ", but tie_word_embeddings is true");
    }
  }
}
