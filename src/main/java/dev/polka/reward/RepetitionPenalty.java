package dev.polka.reward;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A penalty for saying the same again: the share of n-grams that are repeats,
 *
 * <pre>{@code (1 - distinct n-grams / n-grams) maxPenalty}</pre>
 *
 * <p>TRL {@code get_repetition_penalty_reward}, over words there; over whatever the caller numbers
 * here, such as token ids. A response shorter than n has none.
 *
 * @param n how many in a row are compared
 * @param maxPenalty what a response of nothing but repeats approaches; 0 or less
 */
public record RepetitionPenalty(int n, double maxPenalty) {
  /**
   * Checks the parameters.
   *
   * @param n see the record
   * @param maxPenalty see the record
   * @throws IllegalArgumentException if {@code n} is less than 1, or {@code maxPenalty} above 0 or
   *     not finite
   */
  public RepetitionPenalty {
    if (n < 1) {
      throw new IllegalArgumentException("n: " + n + " is less than 1");
    }
    if (!(maxPenalty <= 0) || maxPenalty == Double.NEGATIVE_INFINITY) {
      throw new IllegalArgumentException("maxPenalty: " + maxPenalty + " is not finite and <= 0");
    }
  }

  /**
   * {@return what a response gets, 0 or less}
   *
   * @param tokens its tokens
   */
  public double of(long... tokens) {
    int total = tokens.length - n + 1;
    if (total < 1) {
      return 0;
    }
    List<Long> all = Arrays.stream(tokens).boxed().collect(Collectors.toList());
    Set<List<Long>> distinct = new HashSet<>();
    for (int i = 0; i < total; i++) {
      distinct.add(all.subList(i, i + n));
    }
    int repeats = total - distinct.size();
    return repeats == 0 ? 0 : maxPenalty * repeats / total;
  }
}
