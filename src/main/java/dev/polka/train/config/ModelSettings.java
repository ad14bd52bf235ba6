package dev.polka.train.config;

import dev.polka.train.InputException;

/**
 * A Llama-style decoder.
 *
 * @param directory where a saved model is loaded from, its sizes from its {@code config.json}; null
 *     for a new one with seeded weights
 * @param width of the hidden state, a multiple of {@code heads}
 * @param layers number of decoder layers
 * @param heads attention heads, a multiple of {@code keyValueHeads}
 * @param keyValueHeads heads of keys and values (grouped-query attention)
 * @param feedForward width of the gated feed-forward layer
 * @param context most tokens of prompt and response; 0 for what the problems need
 * @param precision of activations and logits; weights are always kept in f32
 */
public record ModelSettings(
    String directory,
    int width,
    int layers,
    int heads,
    int keyValueHeads,
    int feedForward,
    int context,
    Precision precision) {

  /** Number format of activations and logits. */
  public enum Precision {
    /** 32-bit. */
    F32,
    /** bfloat16 over f32 weights. */
    BF16
  }

  /**
   * Checks the values.
   *
   * @param directory where a saved model is loaded from
   * @param width of the hidden state
   * @param layers number of decoder layers
   * @param heads attention heads
   * @param keyValueHeads heads of keys and values
   * @param feedForward width of the gated feed-forward layer
   * @param context most tokens of prompt and response
   * @param precision of activations and logits
   */
  public ModelSettings {
    if (heads < 1 || width % heads != 0 || width / heads % 2 != 0) {
      throw new InputException(
          "width is "
              + width
              + " with "
              + heads
              + " heads; a head must be an even whole number of columns wide");
    }
    if (keyValueHeads < 1 || heads % keyValueHeads != 0) {
      throw new InputException(
          "keyValueHeads is " + keyValueHeads + ", which does not divide heads, " + heads);
    }
  }

  /**
   * The defaults: a new model of some hundred thousand parameters.
   *
   * @return width 64, 2 layers, 4 heads, 2 of them for keys and values, feed-forward 176, context
   *     as needed, f32
   */
  public static ModelSettings defaults() {
    return new ModelSettings(null, 64, 2, 4, 2, 176, 0, Precision.F32);
  }

  /**
   * The same model loaded from a directory.
   *
   * @param other the directory
   * @return the model; its sizes come from the directory
   */
  public ModelSettings withDirectory(String other) {
    return new ModelSettings(
        other, width, layers, heads, keyValueHeads, feedForward, context, precision);
  }

  /**
   * The same model with another context.
   *
   * @param tokens the context
   * @return the model
   */
  public ModelSettings withContext(int tokens) {
    return new ModelSettings(
        directory, width, layers, heads, keyValueHeads, feedForward, tokens, precision);
  }
}
