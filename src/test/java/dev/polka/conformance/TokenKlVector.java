package dev.polka.conformance;

import dev.polka.reference.ReferenceTokenKl;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.Optional;

/** A token-KL vector: two log-probs per token, the estimator's value and its derivative. */
record TokenKlVector(
    GoldenCase golden, ReferenceTokenKl options, double[] logProb, double[] refLogProb) {
  /** Why a case cannot run yet; empty when it can. */
  static Optional<String> pending(GoldenCase c) {
    return options(c).isPresent()
        ? Optional.empty()
        : Optional.of("estimator " + c.option("estimator", "?"));
  }

  /** A name with {@code +} is verl's straight-through form; k3 there is bounded by 10. */
  private static Optional<ReferenceTokenKl> options(GoldenCase c) {
    String name = c.option("estimator", "");
    Gradient mode = name.endsWith("+") ? Gradient.STRAIGHT_THROUGH_K2 : Gradient.PATHWISE;
    return estimator(name.replace("+", "")).map(e -> ReferenceTokenKl.of(e, mode).withK3Max(10));
  }

  private static Optional<Estimator> estimator(String name) {
    return Optional.ofNullable(
        switch (name) {
          case "k1", "kl" -> Estimator.K1;
          case "abs" -> Estimator.ABS;
          case "k2", "mse" -> Estimator.K2;
          case "k3", "low_var_kl" -> Estimator.K3;
          default -> null;
        });
  }

  static TokenKlVector of(GoldenCase c) {
    return new TokenKlVector(
        c,
        options(c).orElseThrow(),
        GoldenCase.flat(c.inputRows("log_prob")),
        GoldenCase.flat(c.inputRows("ref_log_prob")));
  }

  void check(double bar, double[] kl, double[] derivative) {
    double[] expectedKl = GoldenCase.flat(GoldenCase.rows(golden.expected().get("kl")));
    double[] expectedDerivative =
        GoldenCase.flat(GoldenCase.rows(golden.expected().get("d_log_prob")));
    for (int t = 0; t < expectedKl.length; t++) {
      Tolerance.assertClose("kl[" + t + "]", bar, kl[t], expectedKl[t], logProb[t], refLogProb[t]);
      Tolerance.assertGradient(
          "d_log_prob[" + t + "]",
          bar,
          derivative[t],
          expectedDerivative[t],
          logProb[t],
          refLogProb[t]);
    }
  }
}
