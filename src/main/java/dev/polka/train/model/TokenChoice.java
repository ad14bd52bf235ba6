package dev.polka.train.model;

/**
 * Chooses a token from a row of logits, in f64 and with {@link StrictMath}: the same on every
 * machine, for the same logits.
 *
 * @param token the token
 * @param logProb its log-probability
 */
record TokenChoice(int token, float logProb) {

  /**
   * Inverse transform sampling: the first token at which the cumulative probability exceeds the
   * uniform number.
   *
   * @param logits rows of logits
   * @param offset where the row begins
   * @param vocab how many it has
   * @param temperature divides the logits, above 0
   * @param uniform in [0, 1)
   * @return the token, or null if the row has a NaN, +inf, or no finite logit
   */
  static TokenChoice sample(
      float[] logits, int offset, int vocab, double temperature, double uniform) {
    float max = max(logits, offset, vocab);
    if (!Float.isFinite(max)) {
      return null;
    }
    double total = 0;
    for (int i = 0; i < vocab; i++) {
      total += StrictMath.exp(((double) logits[offset + i] - max) / temperature);
    }
    double wanted = uniform * total;
    double sum = 0;
    int token = -1;
    for (int i = 0; i < vocab && sum <= wanted; i++) {
      double weight = StrictMath.exp(((double) logits[offset + i] - max) / temperature);
      if (weight > 0) {
        sum += weight;
        token = i;
      }
    }
    return of(logits, offset, max, temperature, total, token);
  }

  /** The most probable token, the lowest of equals; its log-probability at temperature 1. */
  static TokenChoice greedy(float[] logits, int offset, int vocab) {
    float max = max(logits, offset, vocab);
    if (!Float.isFinite(max)) {
      return null;
    }
    double total = 0;
    int token = -1;
    for (int i = vocab - 1; i >= 0; i--) {
      total += StrictMath.exp((double) logits[offset + i] - max);
      token = logits[offset + i] == max ? i : token;
    }
    return of(logits, offset, max, 1, total, token);
  }

  private static TokenChoice of(
      float[] logits, int offset, float max, double temperature, double total, int token) {
    double shifted = ((double) logits[offset + token] - max) / temperature;
    return new TokenChoice(token, (float) (shifted - StrictMath.log(total)));
  }

  private static float max(float[] logits, int offset, int vocab) {
    float max = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < vocab; i++) {
      max = Math.max(max, logits[offset + i]); // NaN if any is
    }
    return max;
  }
}
