package dev.polka.train.model;

import dev.polka.torch.Tensors;
import java.util.Arrays;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Keys and values of the live rows, {@code [2, layers, rows, kvHeads, capacity, headDim]},
 * allocated once.
 *
 * <p>A row's tokens stand at positions 0, 1, ...; rows may have different lengths. What lies past a
 * row's length is finite and masked, so it counts as exactly 0.
 */
final class KvCache implements AutoCloseable {
  private final ModelConfig config;
  private final ScalarType dtype;
  private final long rows;
  private final int capacity;
  private final Tensor store;
  private final int[] lengths;
  private int live;

  KvCache(ModelConfig config, ScalarType dtype, int rows, int tokens) {
    this.config = config;
    this.dtype = dtype;
    this.rows = rows;
    capacity = Math.toIntExact(Attention.roundUp(tokens));
    lengths = new int[rows];
    long[] shape = {2, config.layers(), rows, config.kvHeads(), capacity, config.headDim()};
    try (PointerScope scope = new PointerScope()) {
      // Zeros, because a masked NaN would still be NaN: its weight of 0 is multiplied in.
      store = Scopes.keep(torch.zeros(shape, new TensorOptions(dtype)));
    }
  }

  int live() {
    return live;
  }

  int length(int row) {
    return lengths[row];
  }

  /** Fills the first rows from position 0: attention over right-padded whole sequences. */
  Attention filling(int[] newLengths) {
    live = newLengths.length;
    System.arraycopy(newLengths, 0, lengths, 0, live);
    return (layer, query, key, value) -> {
      long length = key.size(2);
      part(0, layer).narrow(0, 0, live).narrow(2, 0, length).copy_(key);
      part(1, layer).narrow(0, 0, live).narrow(2, 0, length).copy_(value);
      return Attention.causal(layer, query, key, value);
    };
  }

  /** Appends one token to every live row and attends to all that the row holds. */
  Attention appending() {
    int kvHeads = config.kvHeads();
    long[] slots = new long[live * kvHeads];
    int longest = 0;
    for (int row = 0; row < live; row++) {
      for (int head = 0; head < kvHeads; head++) {
        slots[row * kvHeads + head] = ((long) row * kvHeads + head) * capacity + lengths[row];
      }
      longest = Math.max(longest, ++lengths[row]);
    }
    int span = Math.toIntExact(Attention.roundUp(longest));
    Tensor at = Tensors.of(slots);
    Tensor mask = mask(span);
    return (layer, query, key, value) -> {
      append(0, layer, at, key);
      append(1, layer, at, value);
      return Attention.scaledDotProduct(
          query,
          part(0, layer).narrow(0, 0, live).narrow(2, 0, span),
          part(1, layer).narrow(0, 0, live).narrow(2, 0, span),
          new TensorOptional(mask),
          false);
    };
  }

  private Tensor mask(int span) {
    float[] values = new float[live * span];
    Arrays.fill(values, Float.NEGATIVE_INFINITY);
    for (int row = 0; row < live; row++) {
      Arrays.fill(values, row * span, row * span + lengths[row], 0);
    }
    return Tensors.of(values, live, 1, 1, span).to(dtype);
  }

  private void append(int kind, int layer, Tensor slots, Tensor heads) {
    long flat = rows * config.kvHeads() * capacity;
    part(kind, layer)
        .view(flat, config.headDim())
        .index_copy_(0, slots, heads.reshape((long) live * config.kvHeads(), config.headDim()));
  }

  private Tensor part(int kind, int layer) {
    return store.select(0, kind).select(0, layer);
  }

  /** Drops the last live row after moving it into the place of another. */
  void removeByLast(int row) {
    live--;
    if (row == live) {
      return;
    }
    lengths[row] = lengths[live];
    try (PointerScope scope = new PointerScope()) {
      rowOf(row).copy_(rowOf(live));
    }
  }

  private Tensor rowOf(int row) {
    return store.select(2, row).narrow(3, 0, lengths[row]);
  }

  @Override
  public void close() {
    store.close();
  }
}
