package dev.polka.torch;

import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.Tensor;

/**
 * A two-step policy on libtorch, small enough to enumerate: for prompt {@code p} it draws a first
 * symbol, then a second one that depends on it. Logits are {@code tanh(P[p] + S[prev] W) H}.
 */
final class ToyPolicy implements AutoCloseable {
  static final int PROMPTS = 4;
  static final int SYMBOLS = 6;
  private static final int WIDTH = 16;

  final Tensor prompt;
  final Tensor previous;
  final Tensor mix;
  final Tensor head;

  ToyPolicy(long seed) {
    Random random = new Random(seed);
    prompt = normal(random, PROMPTS, WIDTH, 0.5f);
    previous = normal(random, SYMBOLS + 1, WIDTH, 0.5f);
    mix = normal(random, WIDTH, WIDTH, 0.25f);
    head = normal(random, WIDTH, SYMBOLS, 0.3f);
  }

  private static Tensor normal(Random random, int rows, int cols, float scale) {
    float[] values = new float[rows * cols];
    for (int i = 0; i < values.length; i++) {
      values[i] = scale * (float) random.nextGaussian();
    }
    return Tensors.of(values, rows, cols).requires_grad_(true);
  }

  List<Tensor> parameters() {
    return List.of(prompt, previous, mix, head);
  }

  /** Logits {@code [N, SYMBOLS]} of N states, each a prompt and the symbol before (or SYMBOLS). */
  Tensor logits(long[] prompts, long[] before) {
    Tensor p = prompt.index_select(0, Tensors.of(prompts));
    Tensor s = previous.index_select(0, Tensors.of(before));
    return p.add(s.matmul(mix)).tanh().matmul(head);
  }

  /** One symbol is right if it is {@code p}, the second if it is {@code first + p}, mod SYMBOLS. */
  static float reward(int p, int first, int second) {
    return (first == p % SYMBOLS ? 0.5f : 0f) + (second == (first + p) % SYMBOLS ? 0.5f : 0f);
  }

  /** The exact expected reward, over all prompts and pairs of symbols. */
  double expectedReward() {
    double sum = 0;
    for (int p = 0; p < PROMPTS; p++) {
      double[] first = probabilities(p, SYMBOLS);
      for (int a = 0; a < SYMBOLS; a++) {
        double[] second = probabilities(p, a);
        for (int b = 0; b < SYMBOLS; b++) {
          sum += first[a] * second[b] * reward(p, a, b);
        }
      }
    }
    return sum / PROMPTS;
  }

  double[] probabilities(int p, int before) {
    float[] logits =
        Torch.floats(logits(new long[] {p}, new long[] {before}).detach().reshape(-1)).toArray();
    double max = Double.NEGATIVE_INFINITY;
    for (float z : logits) {
      max = Math.max(max, z);
    }
    double[] result = new double[logits.length];
    double total = 0;
    for (int i = 0; i < logits.length; i++) {
      total += result[i] = Math.exp(logits[i] - max);
    }
    for (int i = 0; i < logits.length; i++) {
      result[i] /= total;
    }
    return result;
  }

  void zeroGradients() {
    for (Tensor parameter : parameters()) {
      if (parameter.grad().defined()) {
        parameter.grad().zero_();
      }
    }
  }

  /** Plain gradient descent. */
  void step(float learningRate) {
    for (Tensor parameter : parameters()) {
      parameter
          .detach()
          .sub_(
              parameter
                  .grad()
                  .mul(Tensors.of(new float[] {learningRate}))
                  .reshape(parameter.shape()));
    }
  }

  @Override
  public void close() {
    parameters().forEach(Tensor::close);
  }
}
