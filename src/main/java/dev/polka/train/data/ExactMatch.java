package dev.polka.train.data;

/**
 * Right when the response is the reference answer, character by character, blanks around both
 * aside. Immutable and thread-safe.
 */
public final class ExactMatch implements Verifier {
  /** The verifier named {@code exact}. */
  public ExactMatch() {}

  @Override
  public String name() {
    return "exact";
  }

  @Override
  public double score(Problem problem, String response) {
    return response.strip().equals(problem.answer().strip()) ? 1 : 0;
  }
}
