package dev.polka.train.stage;

import dev.polka.train.RandomKey;
import java.util.ArrayList;
import java.util.List;

/** Sequences of many lengths, and numbers, that the tests share. */
final class Batches {
  static final int VOCAB = 13;

  private Batches() {}

  /** Prompts of 1 to 6 tokens with responses of 1 to 5. */
  static List<Sequence> sequences(int count) {
    RandomKey key = RandomKey.ofSeed(3);
    List<Sequence> sequences = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      RandomKey own = key.with(i);
      sequences.add(
          new Sequence(
              tokens(own.with("prompt"), 1 + (int) own.below(0, 6)),
              tokens(own.with("response"), 1 + (int) own.below(1, 5))));
    }
    return sequences;
  }

  private static int[] tokens(RandomKey key, int length) {
    int[] tokens = new int[length];
    for (int t = 0; t < length; t++) {
      tokens[t] = (int) key.below(t, VOCAB);
    }
    return tokens;
  }

  /** Numbers uniform in [-size, size). */
  static float[] numbers(String name, int count, double size) {
    RandomKey key = RandomKey.ofSeed(4).with(name);
    float[] numbers = new float[count];
    for (int i = 0; i < count; i++) {
      numbers[i] = (float) (size * (2 * key.uniform(i) - 1));
    }
    return numbers;
  }
}
