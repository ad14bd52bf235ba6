package dev.polka.train.data;

import java.util.Objects;

/**
 * A verifiable problem.
 *
 * @param prompt what the model reads, not empty
 * @param answer the reference answer that a {@link Verifier} compares with, not empty
 * @param solution the response that a supervised stage teaches: the worked solution where the data
 *     has one, otherwise the answer
 * @param source where the problem stands, for messages: {@code file:line}, or the generator's name
 */
public record Problem(String prompt, String answer, String solution, String source) {
  /**
   * Checks the values.
   *
   * @param prompt what the model reads
   * @param answer the reference answer that a {@link Verifier} compares with
   * @param solution the response that a supervised stage teaches
   * @param source where the problem stands
   */
  public Problem {
    Objects.requireNonNull(source, "source");
    requireText(source, "prompt", prompt);
    requireText(source, "answer", answer);
    requireText(source, "solution", solution);
  }

  private static void requireText(String source, String name, String text) {
    Objects.requireNonNull(text, name);
    if (text.isEmpty()) {
      throw new IllegalArgumentException(source + ": " + name + " is empty");
    }
  }
}
