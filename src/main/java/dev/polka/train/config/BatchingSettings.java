package dev.polka.train.config;

/**
 * How sequences are put into batches. It changes speed and memory, never what is sampled.
 *
 * @param microBatchTokens most tokens, padding included, of one forward and backward pass of the
 *     body; sequences are sorted by length first
 * @param generationRows most sequences generated side by side
 */
public record BatchingSettings(int microBatchTokens, int generationRows) {
  /**
   * The defaults.
   *
   * @return 4096 tokens, 256 rows
   */
  public static BatchingSettings defaults() {
    return new BatchingSettings(4096, 256);
  }
}
