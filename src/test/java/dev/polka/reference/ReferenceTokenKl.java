package dev.polka.reference;

/**
 * Per-token estimators of KL(policy || reference) from {@code d = logProb - refLogProb}, value and
 * derivative for {@code logProb}, in f64. k3's exponent is bounded by {@code maxLogRatio} and its
 * value by {@code k3Max}; where a bound holds, that factor has derivative 0. {@code old} is NaN
 * where there is none.
 */
public record ReferenceTokenKl(
    Estimator estimator, Gradient mode, double maxLogRatio, double k3Max) {
  public enum Estimator {
    K1,
    ABS,
    K2,
    K3
  }

  public enum Gradient {
    PATHWISE,
    STRAIGHT_THROUGH_K2,
    IMPORTANCE_WEIGHTED,
    DETACHED
  }

  /** Value and derivative. */
  public record Term(double value, double derivative) {}

  public static ReferenceTokenKl of(Estimator estimator, Gradient mode) {
    return new ReferenceTokenKl(estimator, mode, 20, Double.POSITIVE_INFINITY);
  }

  public ReferenceTokenKl withMaxLogRatio(double value) {
    return new ReferenceTokenKl(estimator, mode, value, k3Max);
  }

  public ReferenceTokenKl withK3Max(double value) {
    return new ReferenceTokenKl(estimator, mode, maxLogRatio, value);
  }

  public Term at(double logProb, double refLogProb, double oldLogProb) {
    double d = logProb - refLogProb;
    Term pathwise = pathwise(d);
    return switch (mode) {
      case PATHWISE -> pathwise;
      case STRAIGHT_THROUGH_K2 -> new Term(pathwise.value, d);
      case DETACHED -> new Term(pathwise.value, 0);
      case IMPORTANCE_WEIGHTED ->
          weighted(pathwise, Double.isNaN(oldLogProb) ? 0 : logProb - oldLogProb);
    };
  }

  private Term pathwise(double d) {
    return switch (estimator) {
      case K1 -> new Term(d, 1);
      case ABS -> new Term(Math.abs(d), Math.signum(d));
      case K2 -> new Term(d * d / 2, d);
      case K3 -> k3(d);
    };
  }

  private Term k3(double d) {
    double bounded = Math.max(-maxLogRatio, Math.min(maxLogRatio, d));
    double value = Math.expm1(-bounded) + bounded;
    double derivative = Math.abs(d) > maxLogRatio ? 0 : -Math.expm1(-bounded);
    return value > k3Max ? new Term(k3Max, 0) : new Term(value, derivative);
  }

  private Term weighted(Term term, double logRatio) {
    double weight = Math.exp(Math.max(-maxLogRatio, Math.min(maxLogRatio, logRatio)));
    double weightDerivative = Math.abs(logRatio) > maxLogRatio ? 0 : weight;
    return new Term(weight * term.value, weightDerivative * term.value + weight * term.derivative);
  }
}
