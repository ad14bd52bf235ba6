package dev.polka.train.model;

/**
 * A generated response.
 *
 * @param prompt token ids it follows
 * @param response generated token ids, the end token included
 * @param logProbs log-probability of each response token in the distribution it was drawn from,
 *     {@code log softmax(logits / temperature)}; at temperature 1 for greedy choice
 * @param ended whether it ended with an end token, rather than at the largest length
 */
public record Rollout(int[] prompt, int[] response, float[] logProbs, boolean ended) {

  /**
   * Prompt and response.
   *
   * @return how many tokens both have together
   */
  public int length() {
    return prompt.length + response.length;
  }
}
