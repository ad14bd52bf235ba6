package dev.polka.train.model;

import dev.polka.torch.Tensors;
import java.util.List;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Runs a model token by token over a batch of rows, keeping keys and values.
 *
 * <p>Rows may have prompts of different lengths: each keeps its own position. Finished rows are
 * taken out, so that a step costs what the live rows cost. The logits of a row do not depend on the
 * rows beside it, and are those of {@link LlamaModel#forward} with {@link LlamaModel#head}.
 *
 * <p>No gradients. The weights are those at construction; the model must be neither trained nor
 * closed before this is. One thread at a time.
 */
final class CachedDecoder implements AutoCloseable {
  private final LlamaModel model;
  private final DecoderWeights weights;
  private final KvCache cache;
  private final int longest;

  /**
   * Makes room.
   *
   * @param model the model
   * @param rows most rows
   * @param longest most tokens of a row, prompt included, at most the context
   */
  CachedDecoder(LlamaModel model, int rows, int longest) {
    this.model = model;
    this.longest = longest;
    weights = model.frozenWeights();
    cache = new KvCache(model.config(), model.computeType(), rows, longest);
  }

  /**
   * Reads the prompts, which become the live rows.
   *
   * @param prompts token ids of each row, at least one each
   * @return logits after each prompt, {@code rows * vocabSize} numbers
   */
  float[] prefill(List<int[]> prompts) {
    int[] lengths = prompts.stream().mapToInt(prompt -> prompt.length).toArray();
    int length = 1;
    for (int each : lengths) {
      length = Math.max(length, each);
    }
    long[] tokens = new long[prompts.size() * length];
    long[] last = new long[prompts.size()];
    for (int row = 0; row < last.length; row++) {
      int[] prompt = prompts.get(row);
      for (int t = 0; t < prompt.length; t++) {
        tokens[row * length + t] = prompt[t];
      }
      last[row] = (long) row * length + prompt.length - 1;
    }
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      Tensor hidden =
          model
              .decoder()
              .hidden(
                  weights,
                  Tensors.of(tokens, last.length, length),
                  model.rotary().upTo(length),
                  cache.filling(lengths));
      return logits(hidden.index_select(0, Tensors.of(last)));
    }
  }

  /**
   * Appends one token to every live row.
   *
   * @param tokens the token of each live row
   * @return logits after them, {@code live * vocabSize} numbers
   */
  float[] step(int[] tokens) {
    long[] ids = new long[cache.live()];
    long[] positions = new long[ids.length];
    for (int row = 0; row < ids.length; row++) {
      ids[row] = tokens[row];
      positions[row] = cache.length(row);
    }
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      Tensor hidden =
          model
              .decoder()
              .hidden(
                  weights,
                  Tensors.of(ids, ids.length, 1),
                  model.rotary().at(Tensors.of(positions), longest),
                  cache.appending());
      return logits(hidden);
    }
  }

  private float[] logits(Tensor hidden) {
    Tensor logits = Decoder.linear(hidden, weights.head()).to(ScalarType.Float).contiguous();
    float[] values = new float[Math.toIntExact(logits.numel())];
    try (FloatPointer data = logits.data_ptr_float()) {
      data.get(values);
    }
    return values;
  }

  /** Takes a live row out; the last live row takes its place. */
  void removeByLast(int row) {
    cache.removeByLast(row);
  }

  @Override
  public void close() {
    weights.release();
    cache.close();
  }
}
