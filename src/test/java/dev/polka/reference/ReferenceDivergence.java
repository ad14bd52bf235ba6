package dev.polka.reference;

/**
 * Divergence between a student's distribution p and a teacher's q, with its gradient for the
 * student's logits, in f64 and by the definitions. A column without mass on the left side of a KL
 * contributes 0; one without mass on the right side alone makes it infinite.
 *
 * @param parameter beta of the kinds that mix p and q, alpha of the alpha divergence
 */
public record ReferenceDivergence(Kind kind, double parameter) {
  public enum Kind {
    FORWARD_KL,
    REVERSE_KL,
    JSD,
    SKEW_FORWARD_KL,
    SKEW_REVERSE_KL,
    TOTAL_VARIATION,
    CHI_SQUARED,
    ALPHA,
    GENERALIZED_KL
  }

  private static ReferenceDivergence of(Kind kind) {
    return new ReferenceDivergence(kind, 0);
  }

  public static ReferenceDivergence forwardKl() {
    return of(Kind.FORWARD_KL);
  }

  public static ReferenceDivergence reverseKl() {
    return of(Kind.REVERSE_KL);
  }

  /** {@code beta KL(q||m) + (1 - beta) KL(p||m)}, {@code m = beta q + (1 - beta) p}. */
  public static ReferenceDivergence jsd(double beta) {
    return new ReferenceDivergence(Kind.JSD, beta);
  }

  /** {@code KL(q || beta q + (1 - beta) p)}. */
  public static ReferenceDivergence skewForwardKl(double beta) {
    return new ReferenceDivergence(Kind.SKEW_FORWARD_KL, beta);
  }

  /** {@code KL(p || beta p + (1 - beta) q)}. */
  public static ReferenceDivergence skewReverseKl(double beta) {
    return new ReferenceDivergence(Kind.SKEW_REVERSE_KL, beta);
  }

  public static ReferenceDivergence totalVariation() {
    return of(Kind.TOTAL_VARIATION);
  }

  public static ReferenceDivergence chiSquared() {
    return of(Kind.CHI_SQUARED);
  }

  public static ReferenceDivergence generalizedKl() {
    return of(Kind.GENERALIZED_KL);
  }

  public static ReferenceDivergence alpha(double alpha) {
    return new ReferenceDivergence(Kind.ALPHA, alpha);
  }

  /** The divergence of one row. */
  public double value(ReferenceDistribution student, ReferenceDistribution teacher) {
    double total = student.broken() || teacher.broken() ? Double.NaN : 0;
    for (int j = 0; j < student.validColumns(); j++) {
      total += term(student, teacher, j);
    }
    return total;
  }

  private double term(ReferenceDistribution student, ReferenceDistribution teacher, int j) {
    double p = student.has(j) ? student.probability(j) : 0;
    double q = teacher.has(j) ? teacher.probability(j) : 0;
    return term(p, q, student.logProbability(j), teacher.logProbability(j));
  }

  /** One column's part of the value, from both probabilities and their logs. */
  double term(double p, double q, double lp, double lq) {
    double b = parameter;
    return switch (kind) {
      case FORWARD_KL -> relative(q, lq, lp);
      case REVERSE_KL -> relative(p, lp, lq);
      case JSD -> {
        double lm = logMixture(b, lq, lp);
        yield b * relative(q, lq, lm) + (1 - b) * relative(p, lp, lm);
      }
      case SKEW_FORWARD_KL -> relative(q, lq, logMixture(b, lq, lp));
      case SKEW_REVERSE_KL -> relative(p, lp, logMixture(b, lp, lq));
      case TOTAL_VARIATION -> Math.abs(p - q) / 2;
      case CHI_SQUARED -> (p == 0 ? 0 : Math.exp(2 * lp - lq)) - 2 * p + q;
      case ALPHA -> (geometric(lp, lq) - b * q - (1 - b) * p) / (b * (b - 1));
      case GENERALIZED_KL -> relative(q, lq, lp) - q + p;
    };
  }

  /** Its gradient for the student's logits, all columns; 0 where the student has no mass. */
  public double[] gradient(ReferenceDistribution student, ReferenceDistribution teacher) {
    double[] gradient = new double[student.columns()];
    double mean = 0;
    for (int j = 0; j < student.validColumns(); j++) {
      mean += student.has(j) ? slope(student, teacher, j) : 0;
    }
    for (int j = 0; j < student.validColumns(); j++) {
      if (student.broken() || teacher.broken()) {
        gradient[j] = Double.NaN;
      } else if (student.has(j)) {
        double derivative = slope(student, teacher, j) - student.probability(j) * mean;
        gradient[j] = derivative * student.slope(j);
      }
    }
    return gradient;
  }

  /** {@code p d(term) / dp} of a column where the student has mass. */
  private double slope(ReferenceDistribution student, ReferenceDistribution teacher, int j) {
    double p = student.probability(j);
    double q = teacher.has(j) ? teacher.probability(j) : 0;
    double lp = student.logProbability(j);
    double lq = teacher.logProbability(j);
    double b = parameter;
    return switch (kind) {
      case FORWARD_KL, GENERALIZED_KL -> -q;
      case REVERSE_KL -> p * (lp - lq);
      case JSD -> (1 - b) * p * (lp - logMixture(b, lq, lp));
      case SKEW_FORWARD_KL -> -(1 - b) * q * Math.exp(lp - logMixture(b, lq, lp));
      case SKEW_REVERSE_KL -> {
        double lm = logMixture(b, lp, lq);
        yield p * (lp - lm - b * Math.exp(lp - lm));
      }
      case TOTAL_VARIATION -> p * Math.signum(p - q) / 2;
      case CHI_SQUARED -> 2 * Math.exp(2 * lp - lq);
      case ALPHA -> -geometric(lp, lq) / b;
    };
  }

  /** {@code q^alpha p^(1 - alpha)}, 0 where neither side has mass. */
  private double geometric(double lp, double lq) {
    return Math.max(lp, lq) == Double.NEGATIVE_INFINITY
        ? 0
        : Math.exp(parameter * lq + (1 - parameter) * lp);
  }

  /** {@code a ln(a / b)}. */
  private static double relative(double a, double logA, double logB) {
    return logA == Double.NEGATIVE_INFINITY ? 0 : a * (logA - logB);
  }

  private static double logMixture(double share, double logFirst, double logSecond) {
    double a = Math.log(share) + logFirst;
    double b = Math.log1p(-share) + logSecond;
    double high = Math.max(a, b);
    return high == Double.NEGATIVE_INFINITY
        ? high
        : high + Math.log1p(Math.exp(Math.min(a, b) - high));
  }
}
