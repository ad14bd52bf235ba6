package dev.polka.train.model;

import dev.polka.memory.DType;
import java.nio.file.Path;
import java.util.List;

/**
 * The sizes of a Llama-style decoder.
 *
 * <p>The head dimension is {@code hiddenSize / heads}. Heads that are a multiple of 16 wide and an
 * intermediate size that is a multiple of 64 keep every element on the vector path of libtorch's
 * kernels: faster, and an element's value does not depend on where in a tensor it stands.
 *
 * <p>Immutable and thread-safe.
 *
 * @param vocabSize number of tokens, rows of the embedding, at least 2
 * @param hiddenSize width of the residual stream, a multiple of {@code heads}
 * @param intermediateSize width of the feed-forward layer
 * @param layers number of decoder layers
 * @param heads query heads; {@code hiddenSize / heads} must be even, for the rotation
 * @param kvHeads key and value heads, a divisor of {@code heads}
 * @param contextLength most tokens of a sequence, prompt and response together
 * @param ropeTheta base of the rotary angles, above 0
 * @param rmsEps what is added to the mean square in RMSNorm, above 0
 * @param tiedHead whether the head is the embedding, or a matrix of its own
 * @param eosTokens tokens that end a sequence; empty if none is known
 * @param dtype type of activations and logits, {@link DType#F32} or {@link DType#BF16}; parameters
 *     are f32 in both
 */
public record ModelConfig(
    int vocabSize,
    int hiddenSize,
    int intermediateSize,
    int layers,
    int heads,
    int kvHeads,
    int contextLength,
    double ropeTheta,
    double rmsEps,
    boolean tiedHead,
    List<Integer> eosTokens,
    DType dtype) {

  /**
   * Checks the sizes.
   *
   * @param vocabSize number of tokens
   * @param hiddenSize width of the residual stream
   * @param intermediateSize width of the feed-forward layer
   * @param layers number of decoder layers
   * @param heads query heads
   * @param kvHeads key and value heads
   * @param contextLength most tokens of a sequence
   * @param ropeTheta base of the rotary angles
   * @param rmsEps what is added to the mean square
   * @param tiedHead whether the head is the embedding
   * @param eosTokens tokens that end a sequence
   * @param dtype type of activations and logits
   * @throws IllegalArgumentException naming the size, its value and the limit
   */
  public ModelConfig {
    requireAtLeast(vocabSize, 2, "vocabSize");
    requireAtLeast(hiddenSize, 1, "hiddenSize");
    requireAtLeast(intermediateSize, 1, "intermediateSize");
    requireAtLeast(layers, 1, "layers");
    requireAtLeast(heads, 1, "heads");
    requireAtLeast(kvHeads, 1, "kvHeads");
    requireAtLeast(contextLength, 1, "contextLength");
    if (hiddenSize % (2L * heads) != 0) {
      throw new IllegalArgumentException(
          "hiddenSize is " + hiddenSize + ", must be a multiple of 2 * heads = " + 2L * heads);
    }
    if (heads % kvHeads != 0) {
      throw new IllegalArgumentException(
          "kvHeads is " + kvHeads + ", must divide heads = " + heads);
    }
    requirePositive(ropeTheta, "ropeTheta");
    requirePositive(rmsEps, "rmsEps");
    if (dtype != DType.F32 && dtype != DType.BF16) {
      throw new IllegalArgumentException("dtype is " + dtype + ", must be F32 or BF16");
    }
    eosTokens = List.copyOf(eosTokens);
    for (int token : eosTokens) {
      if (token < 0 || token >= vocabSize) {
        throw new IllegalArgumentException(
            "eosTokens has " + token + ", must be in [0, vocabSize = " + vocabSize + ")");
      }
    }
  }

  /**
   * The student of the shipped pipelines: width 48, two layers, four query heads on two key and
   * value heads, feed-forward 128; 51 thousand parameters besides the embedding.
   *
   * @param vocabSize number of tokens
   * @param contextLength most tokens of a sequence
   * @return an f32 configuration with a tied head and no end token
   */
  public static ModelConfig student(int vocabSize, int contextLength) {
    return new ModelConfig(
        vocabSize, 48, 128, 2, 4, 2, contextLength, 1e4, 1e-5, true, List.of(), DType.F32);
  }

  /**
   * The teacher of the shipped pipelines: width 64, two layers, four query heads on two key and
   * value heads, feed-forward 176; 92 thousand parameters besides the embedding.
   *
   * @param vocabSize number of tokens
   * @param contextLength most tokens of a sequence
   * @return an f32 configuration with a tied head and no end token
   */
  public static ModelConfig teacher(int vocabSize, int contextLength) {
    return new ModelConfig(
        vocabSize, 64, 176, 2, 4, 2, contextLength, 1e4, 1e-5, true, List.of(), DType.F32);
  }

  /**
   * Reads a Hugging Face {@code config.json} of a Llama model.
   *
   * @param file the file
   * @return its sizes; dtype is F32 unless the file was written by {@link #write} for a bf16 model
   * @throws dev.polka.train.InputException if the file is missing, is not JSON, or describes a
   *     model that {@link LlamaModel} does not compute; the message names the file, key and value
   */
  public static ModelConfig read(Path file) {
    return HuggingFaceConfig.read(file);
  }

  /**
   * Writes a Hugging Face {@code config.json} that {@code LlamaForCausalLM} loads.
   *
   * @param file the file, replaced if it exists
   * @param stored type of the tensors stored beside it, F32 or BF16
   * @throws java.io.UncheckedIOException if it cannot be written
   */
  public void write(Path file, DType stored) {
    HuggingFaceConfig.write(this, file, stored);
  }

  /**
   * Width of one head.
   *
   * @return {@code hiddenSize / heads}
   */
  public int headDim() {
    return hiddenSize / heads;
  }

  /**
   * The same model with other activations.
   *
   * @param dtype F32 or BF16
   * @return a changed copy
   */
  public ModelConfig withDtype(DType dtype) {
    return new ModelConfig(
        vocabSize,
        hiddenSize,
        intermediateSize,
        layers,
        heads,
        kvHeads,
        contextLength,
        ropeTheta,
        rmsEps,
        tiedHead,
        eosTokens,
        dtype);
  }

  /**
   * The same sizes with other end tokens.
   *
   * @param eosTokens tokens that end a sequence
   * @return a changed copy
   */
  public ModelConfig withEosTokens(List<Integer> eosTokens) {
    return new ModelConfig(
        vocabSize,
        hiddenSize,
        intermediateSize,
        layers,
        heads,
        kvHeads,
        contextLength,
        ropeTheta,
        rmsEps,
        tiedHead,
        eosTokens,
        dtype);
  }

  /**
   * The same model with a head of its own, or the embedding for a head.
   *
   * @param tiedHead whether the head is the embedding
   * @return a changed copy
   */
  public ModelConfig withTiedHead(boolean tiedHead) {
    return new ModelConfig(
        vocabSize,
        hiddenSize,
        intermediateSize,
        layers,
        heads,
        kvHeads,
        contextLength,
        ropeTheta,
        rmsEps,
        tiedHead,
        eosTokens,
        dtype);
  }

  private static void requireAtLeast(int value, int least, String name) {
    if (value < least) {
      throw new IllegalArgumentException(name + " is " + value + ", must be at least " + least);
    }
  }

  private static void requirePositive(double value, String name) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(name + " is " + value + ", must be finite and above 0");
    }
  }
}
