package dev.polka.train.data;

import dev.polka.train.InputException;
import java.math.BigDecimal;
import java.util.Optional;

/**
 * Right when the response's number equals the reference answer's, whatever the notation: 1,450 is
 * 1450.00 ({@link NumericAnswer} says what a number is).
 *
 * <p>The two forms differ in where the response's number stands. {@code numeric} wants it after the
 * last {@code ####}, or the response to be the number and nothing else, so that a response cannot
 * be right by accident. {@code numeric-last} takes the last number of the response, as evaluations
 * of models that were not taught the mark do. Immutable and thread-safe.
 */
public final class NumericEquality implements Verifier {
  private final boolean anywhere;

  private NumericEquality(boolean anywhere) {
    this.anywhere = anywhere;
  }

  /**
   * The strict form.
   *
   * @return the verifier named {@code numeric}
   */
  public static NumericEquality marked() {
    return new NumericEquality(false);
  }

  /**
   * The lenient form.
   *
   * @return the verifier named {@code numeric-last}
   */
  public static NumericEquality lastNumber() {
    return new NumericEquality(true);
  }

  @Override
  public String name() {
    return anywhere ? "numeric-last" : "numeric";
  }

  /**
   * {@inheritDoc}
   *
   * @throws InputException if the reference answer is not a number
   */
  @Override
  public double score(Problem problem, String response) {
    BigDecimal expected =
        NumericAnswer.parse(problem.answer())
            .orElseThrow(
                () ->
                    new InputException(
                        problem.source()
                            + ": the answer '"
                            + problem.answer()
                            + "' is not a number, which verifier '"
                            + name()
                            + "' needs"));
    return found(response).filter(number -> number.compareTo(expected) == 0).isPresent() ? 1 : 0;
  }

  private Optional<BigDecimal> found(String response) {
    int mark = response.lastIndexOf(ProblemFile.ANSWER_MARK);
    String text = response.substring(mark < 0 ? 0 : mark + ProblemFile.ANSWER_MARK.length());
    if (anywhere) {
      return NumericAnswer.last(text);
    }
    // After the mark the answer ends with its line; what a model adds below is not the answer.
    return NumericAnswer.parse(mark < 0 ? text : text.lines().findFirst().orElse(""));
  }
}
