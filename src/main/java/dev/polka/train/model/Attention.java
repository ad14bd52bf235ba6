package dev.polka.train.model;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;

/**
 * Causal attention of one layer, with or without a cache behind it.
 *
 * <p>Key lengths are multiples of {@link #KEY_BLOCK} everywhere. libtorch's kernel sums whole
 * vectors of keys, and masked ones add exactly 0; so a query gets the same bits whether it comes
 * alone, after a cache, or in a whole sequence.
 */
interface Attention {
  /** A multiple of the widest vector of f32. */
  int KEY_BLOCK = 16;

  /**
   * Attends; all arguments and the result lie in the caller's scope.
   *
   * @param layer which layer
   * @param query {@code [B, heads, T, headDim]}
   * @param key {@code [B, kvHeads, T, headDim]}
   * @param value {@code [B, kvHeads, T, headDim]}
   * @return {@code [B, heads, T, headDim]}
   */
  Tensor attend(int layer, Tensor query, Tensor key, Tensor value);

  /** Each sequence with itself alone. */
  static Tensor causal(int layer, Tensor query, Tensor key, Tensor value) {
    return scaledDotProduct(query, padded(key), padded(value), new TensorOptional(), true);
  }

  /** Keys of padded positions come after all queries, so the causal mask hides them. */
  private static Tensor padded(Tensor keys) {
    long length = keys.size(2);
    return length % KEY_BLOCK == 0
        ? keys
        : torch.constant_pad_nd(keys, 0, 0, 0, roundUp(length) - length);
  }

  static Tensor scaledDotProduct(
      Tensor query, Tensor key, Tensor value, TensorOptional mask, boolean causal) {
    return torch.scaled_dot_product_attention(
        query, key, value, mask, 0.0, causal, new DoubleOptional(), true);
  }

  static long roundUp(long length) {
    return (length + KEY_BLOCK - 1) / KEY_BLOCK * KEY_BLOCK;
  }
}
