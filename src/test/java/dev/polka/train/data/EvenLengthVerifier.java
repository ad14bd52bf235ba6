package dev.polka.train.data;

/** A user's verifier, found by the service loader. */
public final class EvenLengthVerifier implements Verifier {
  @Override
  public String name() {
    return "even-length";
  }

  @Override
  public double score(Problem problem, String response) {
    return response.length() % 2 == 0 ? 1 : 0.25;
  }
}
