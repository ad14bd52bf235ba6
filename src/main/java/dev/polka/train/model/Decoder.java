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
 * <p>A row should have the same bits alone and among others, so that cached generation repeats the
 * training forward pass. All operations but matrix products treat rows alike whatever their number;
 * for the products, zero rows are added up to a number from which libtorch's libraries do so too:
 * OpenBLAS has an f32 kernel of its own for few outputs (AVX-512), and bf16 goes to oneDNN only
 * above a number of multiplications, which treats the last rows of an odd number by themselves.
 * OpenBLAS's f32 kernels for AVX2 sum in an order that depends on a row's place all the same; there
 * rows agree to rounding.
 */
final class Decoder {
  private static final long SMALL_F32_OUTPUTS = 1200;
  private static final long SMALL_BF16_PRODUCTS = 16 * 16 * 16;
  private static final long BF16_ROW_BLOCK = 16;

  private final ModelConfig config;
  private final ScalarType dtype;

  Decoder(ModelConfig config, ScalarType dtype) {
    this.config = config;
    this.dtype = dtype;
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
    long rows = batch * length;
    // The projections to keys and values are the smallest products.
    long padded =
        paddedRows(rows, config.hiddenSize(), (long) config.kvHeads() * config.headDim(), dtype);
    Tensor x = torch.embedding(weights.embedding(), withRows(tokens.view(rows), padded));
    for (int i = 0; i < config.layers(); i++) {
      DecoderWeights.Layer layer = weights.layers().get(i);
      Tensor h = norm(x, layer.attentionNorm());
      Tensor query = withRows(torch.linear(h, layer.query()), rows);
      Tensor key = withRows(torch.linear(h, layer.key()), rows);
      Tensor value = withRows(torch.linear(h, layer.value()), rows);
      query = queryTurn.apply(query, config.heads(), config.headDim());
      key = keyTurn.apply(key, config.kvHeads(), config.headDim());
      Tensor mixed =
          attention
              .attend(
                  i,
                  byHead(query, batch, length, config.heads()),
                  byHead(key, batch, length, config.kvHeads()),
                  byHead(value, batch, length, config.kvHeads()))
              .transpose(1, 2)
              .reshape(rows, config.hiddenSize());
      x = x.add(torch.linear(withRows(mixed, padded), layer.output()));
      h = norm(x, layer.feedForwardNorm());
      Tensor inner = torch.silu(torch.linear(h, layer.gate())).mul(torch.linear(h, layer.up()));
      x = x.add(torch.linear(inner, layer.down()));
    }
    return norm(withRows(x, rows), weights.norm());
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
   * {@code x weight^T} for a single product, in the caller's scope.
   *
   * @param x {@code [n, inputs]}
   * @param weight {@code [outputs, inputs]}
   * @return {@code [n, outputs]}
   */
  static Tensor linear(Tensor x, Tensor weight) {
    long rows = x.size(0);
    long padded = paddedRows(rows, weight.size(1), weight.size(0), x.scalar_type().intern());
    return withRows(torch.linear(withRows(x, padded), weight), rows);
  }

  private static long paddedRows(long rows, long inputs, long outputs, ScalarType dtype) {
    if (rows == 0) {
      return 0;
    }
    if (dtype == ScalarType.Float) {
      return Math.max(rows, SMALL_F32_OUTPUTS / outputs + 1);
    }
    long least = Math.max(rows, SMALL_BF16_PRODUCTS / (inputs * outputs) + 1);
    return (least + BF16_ROW_BLOCK - 1) / BF16_ROW_BLOCK * BF16_ROW_BLOCK;
  }

  /** Adds zero rows at the end, or takes them off again. */
  private static Tensor withRows(Tensor x, long rows) {
    long now = x.size(0);
    if (now == rows) {
      return x;
    }
    if (now > rows) {
      return x.narrow(0, 0, rows);
    }
    return x.dim() == 1
        ? torch.constant_pad_nd(x, 0, rows - now)
        : torch.constant_pad_nd(x, 0, 0, 0, rows - now);
  }
}
