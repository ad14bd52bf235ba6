package dev.polka.train.data;

import dev.polka.train.RandomKey;

/**
 * Makes a supervised stage imperfect: each decimal digit of the text it teaches is replaced with
 * probability {@code share} by one of the other nine. A model warm-started on noisy digits has seen
 * the format and most of the skill and leaves room for reinforcement, as a base model does.
 *
 * @param share probability that a digit is replaced, in [0, 1]
 */
public record DigitNoise(double share) {
  /**
   * Checks the values.
   *
   * @param share probability that a digit is replaced
   */
  public DigitNoise {
    if (!(share >= 0 && share <= 1)) {
      throw new IllegalArgumentException("digit noise is " + share + ", must be in [0, 1]");
    }
  }

  /**
   * A noisy copy.
   *
   * @param text any text
   * @param key the randomness of this copy
   * @return the text with some digits replaced; other characters and the length are kept
   */
  public String apply(String text, RandomKey key) {
    var noisy = new StringBuilder(text);
    for (int i = 0; i < noisy.length(); i++) {
      char c = noisy.charAt(i);
      if (c >= '0' && c <= '9' && key.uniform(2L * i) < share) {
        long other = (c - '0' + 1 + key.below(2L * i + 1, 9)) % 10;
        noisy.setCharAt(i, (char) ('0' + other));
      }
    }
    return noisy.toString();
  }
}
