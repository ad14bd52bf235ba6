package dev.polka.train.model;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The decoder's arithmetic: per layer {@code x += attention(norm(x))} and {@code x +=
 * down(silu(gate norm(x)) * up norm(x))}, then a last norm (Touvron et al., "LLaMA", 2023).
 *
 * <p>Every operation treats rows alike, whatever their number: the training forward pass and cached
 * generation agree.
 */
final class Decoder {
  // Up to these sizes libtorch multiplies in another order: OpenBLAS has a kernel for few outputs
  // in f32, and bf16 goes to oneDNN only above a number of multiplications.
  private static final long SMALL_F32_OUTPUTS = 1200;
  private static final long SMALL_BF16_PRODUCTS = 16 * 16 * 16;

  private final ModelConfig config;

  Decoder(ModelConfig config) {
    this.config = config;
  }

  /**
   * Runs tokens through all layers, in the caller's scope.
   *
   * @param tokens {@code [B, T]} int64
   * @param turn tables of the T positions, or of B rows if T is 1
   * @return {@code [B * T, hidden]}
   */
  Tensor hidden(DecoderWeights weights, Tensor tokens, Rotary.Turn turn, Attention attention) {
    long batch = tokens.size(0);
    long length = tokens.size(1);
    Rotary.Turn queryTurn = turn.tiled(config.heads());
    Rotary.Turn keyTurn = turn.tiled(config.kvHeads());
    Tensor x = torch.embedding(weights.embedding(), tokens.view(batch * length));
    for (int i = 0; i < config.layers(); i++) {
      DecoderWeights.Layer layer = weights.layers().get(i);
      Tensor h = norm(x, layer.attentionNorm());
      Tensor query = queryTurn.apply(linear(h, layer.query()), config.heads(), config.headDim());
      Tensor key = keyTurn.apply(linear(h, layer.key()), config.kvHeads(), config.headDim());
      Tensor value = linear(h, layer.value());
      Tensor mixed =
          attention
              .attend(
                  i,
                  byHead(query, batch, length, config.heads()),
                  byHead(key, batch, length, config.kvHeads()),
                  byHead(value, batch, length, config.kvHeads()))
              .transpose(1, 2)
              .reshape(batch * length, config.hiddenSize());
      x = x.add(linear(mixed, layer.output()));
      h = norm(x, layer.feedForwardNorm());
      Tensor inner = torch.silu(linear(h, layer.gate())).mul(linear(h, layer.up()));
      x = x.add(linear(inner, layer.down()));
    }
    return norm(x, weights.norm());
  }

  private Tensor byHead(Tensor rows, long batch, long length, int heads) {
    return rows.view(batch, length, heads, config.headDim()).transpose(1, 2);
  }

  private Tensor norm(Tensor x, Tensor weight) {
    return torch.rms_norm(
        x,
        new long[] {config.hiddenSize()},
        new TensorOptional(weight),
        new DoubleOptional(config.rmsEps()));
  }

  /**
   * {@code x weight^T}, in the caller's scope. Small products are padded with zero rows beyond the
   * size at which libtorch changes the order of summation, so that a row has the same bits alone
   * and among others.
   *
   * @param x {@code [n, inputs]}
   * @param weight {@code [outputs, inputs]}
   * @return {@code [n, outputs]}
   */
  static Tensor linear(Tensor x, Tensor weight) {
    long rows = x.size(0);
    long small =
        x.scalar_type().intern() == ScalarType.Float
            ? SMALL_F32_OUTPUTS / weight.size(0)
            : SMALL_BF16_PRODUCTS / (weight.size(0) * weight.size(1));
    if (rows > small || rows == 0) {
      return torch.linear(x, weight);
    }
    return torch
        .linear(torch.constant_pad_nd(x, 0, 0, 0, small + 1 - rows), weight)
        .narrow(0, 0, rows);
  }
}
