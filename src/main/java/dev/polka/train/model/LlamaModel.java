package dev.polka.train.model;

import dev.polka.memory.DType;
import dev.polka.train.RandomKey;
import java.nio.file.Path;
import java.util.Arrays;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A Llama-style decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU, and a head
 * that may be the embedding (Touvron et al., "LLaMA", 2023; "Llama 2", 2023).
 *
 * <p>Parameters are f32 leaves of autograd. With a bf16 configuration they are cast in every
 * forward pass, activations and logits are bf16, and gradients come back to f32.
 *
 * <pre>{@code
 * try (PointerScope step = new PointerScope()) {
 *   Tensor hidden = model.forward(batch.tokens());                  // [B, T, D]
 *   Tensor logits = model.head(batch.gather(hidden));               // [N, V]
 *   LossResult loss = objective.forwardBackward(Torch.matrix(logits), ...);
 *   Torch.backward(logits, loss.gradient());                        // into model.parameters()
 * }
 * }</pre>
 *
 * <p>Deterministic for a given number of threads. One thread at a time.
 */
public final class LlamaModel implements AutoCloseable {
  private final ModelConfig config;
  private final Parameters parameters;
  private final Decoder decoder;
  private final Rotary rotary;

  private LlamaModel(ModelConfig config) {
    this.config = config;
    parameters = new Parameters(config);
    decoder = new Decoder(config, computeType());
    rotary = new Rotary(config, computeType());
  }

  /**
   * A model with random weights. A matrix entry is normal with variance 1 / inputs; for the two
   * matrices of a layer that write to the residual stream, 1 / (2 layers inputs); weights of norms
   * are 1. The values are a function of seed, name and position alone.
   *
   * @param config its sizes
   * @param seed any number
   * @return the model; the caller closes it
   */
  public static LlamaModel create(ModelConfig config, long seed) {
    LlamaModel model = new LlamaModel(config);
    model.parameters.initialise(RandomKey.ofSeed(seed).with("weights"));
    return model;
  }

  /**
   * Loads a model directory in Hugging Face's layout: {@code config.json} and {@code
   * model.safetensors}, with the names of LlamaForCausalLM; tensors in f32, bf16 or f16.
   *
   * @param directory the directory
   * @return the model; the caller closes it
   * @throws dev.polka.train.InputException naming file and tensor if a file is missing or broken, a
   *     tensor is missing, unexpected, or of another shape or type
   */
  public static LlamaModel load(Path directory) {
    return load(directory, ModelConfig.read(directory.resolve(ModelDirectory.CONFIG)).dtype());
  }

  /**
   * Loads a model directory to compute in a given type.
   *
   * @param directory the directory
   * @param dtype type of activations and logits, F32 or BF16
   * @return the model; the caller closes it
   * @throws dev.polka.train.InputException as {@link #load(Path)}
   */
  public static LlamaModel load(Path directory, DType dtype) {
    ModelConfig config =
        ModelConfig.read(directory.resolve(ModelDirectory.CONFIG)).withDtype(dtype);
    LlamaModel model = new LlamaModel(config);
    try {
      ModelDirectory.read(directory, config, model.parameters);
    } catch (RuntimeException e) {
      model.close();
      throw e;
    }
    return model;
  }

  /**
   * Writes {@code config.json} and {@code model.safetensors}, so that Hugging Face's
   * LlamaForCausalLM and {@link #load} read them. Bytes depend on the values alone.
   *
   * @param directory an existing directory
   * @param stored type of the stored tensors: F32, or BF16 rounded to nearest even
   * @throws java.io.UncheckedIOException if they cannot be written
   */
  public void save(Path directory, DType stored) {
    ModelDirectory.write(directory, config, parameters, stored);
  }

  /**
   * A copy with values of its own, such as a frozen reference.
   *
   * @return the copy; the caller closes it
   */
  public LlamaModel copy() {
    LlamaModel copy = new LlamaModel(config);
    copy.parameters.copyFrom(parameters);
    return copy;
  }

  /**
   * The sizes.
   *
   * @return this model's configuration
   */
  public ModelConfig config() {
    return config;
  }

  /**
   * The parameters.
   *
   * @return f32 leaves with their gradients; closed with the model
   */
  public Parameters parameters() {
    return parameters;
  }

  /**
   * Runs whole sequences. Attention is causal, so tokens that pad a sequence at its right change
   * nothing at the positions before them, and any token will do.
   *
   * @param tokens {@code [B, T]} int64, ids in [0, vocabSize), T at most the context
   * @return {@code [B, T, hidden]} after the last norm, in the compute type, with a graph unless
   *     gradients are off; in the caller's scope, or the caller's to close
   * @throws IllegalArgumentException if the tokens have another shape, type or length
   * @throws RuntimeException libtorch's own, for an id outside the vocabulary
   */
  public Tensor forward(Tensor tokens) {
    requireTokens(tokens);
    PointerScope outer = PointerScope.getInnerScope();
    try (PointerScope scope = new PointerScope()) {
      long length = tokens.size(1);
      Tensor rows =
          decoder.hidden(
              weights(), tokens, rotary.upTo(Math.toIntExact(length)), Attention::causal);
      return Scopes.escape(scope, outer, rows.view(tokens.size(0), length, config.hiddenSize()));
    }
  }

  /**
   * Logits of chosen positions.
   *
   * @param hidden {@code [N, hidden]}: rows of {@link #forward}'s result
   * @return {@code [N, vocabSize]} in the compute type; in the caller's scope, or the caller's to
   *     close
   * @throws IllegalArgumentException if the rows have another width
   */
  public Tensor head(Tensor hidden) {
    if (hidden.dim() != 2 || hidden.size(1) != config.hiddenSize()) {
      throw new IllegalArgumentException(
          "hidden is "
              + Arrays.toString(hidden.shape())
              + ", must be [N, "
              + config.hiddenSize()
              + "]");
    }
    PointerScope outer = PointerScope.getInnerScope();
    try (PointerScope scope = new PointerScope()) {
      Tensor weight =
          parameters.get(config.tiedHead() ? ParameterShape.EMBEDDING : ParameterShape.HEAD);
      return Scopes.escape(scope, outer, Decoder.linear(hidden, weight.to(computeType())));
    }
  }

  private void requireTokens(Tensor tokens) {
    if (tokens.dim() != 2 || tokens.scalar_type().intern() != ScalarType.Long) {
      throw new IllegalArgumentException(
          "tokens are "
              + Arrays.toString(tokens.shape())
              + " of "
              + tokens.scalar_type().intern()
              + ", must be [B, T] of Long");
    }
    if (tokens.size(1) < 1 || tokens.size(1) > config.contextLength()) {
      throw new IllegalArgumentException(
          "tokens have length "
              + tokens.size(1)
              + ", must be in [1, contextLength = "
              + config.contextLength()
              + "]");
    }
  }

  private DecoderWeights weights() {
    return DecoderWeights.of(parameters, config, computeType());
  }

  /** The weights as they are now, without a graph, until released. */
  DecoderWeights frozenWeights() {
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      return weights().keep();
    }
  }

  Decoder decoder() {
    return decoder;
  }

  Rotary rotary() {
    return rotary;
  }

  ScalarType computeType() {
    return config.dtype() == DType.BF16 ? ScalarType.BFloat16 : ScalarType.Float;
  }

  /** Frees parameters, gradients and tables. */
  @Override
  public void close() {
    parameters.close();
    rotary.close();
  }
}
