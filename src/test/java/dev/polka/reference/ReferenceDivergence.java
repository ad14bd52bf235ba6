package dev.polka.reference;

/**
 * Divergence between a student's distribution p and a teacher's q, with its gradient for the
 * student's logits, in f64 and by the definitions. A column without mass on the left side of a KL
 * contributes 0; one without mass on the right side alone makes it infinite.
 *
 * @param beta the mixture weight of JSD: {@code beta KL(q||m) + (1 - beta) KL(p||m)}, {@code m =
 *     beta q + (1 - beta) p}
 */
public record ReferenceDivergence(Kind kind, double beta) {
  public enum Kind {
    FORWARD_KL,
    REVERSE_KL,
    JSD
  }

  public static ReferenceDivergence forwardKl() {
    return new ReferenceDivergence(Kind.FORWARD_KL, 0);
  }

  public static ReferenceDivergence reverseKl() {
    return new ReferenceDivergence(Kind.REVERSE_KL, 0);
  }

  public static ReferenceDivergence jsd(double beta) {
    return new ReferenceDivergence(Kind.JSD, beta);
  }

  /** The divergence of one row. */
  public double value(ReferenceDistribution student, ReferenceDistribution teacher) {
    return switch (kind) {
      case FORWARD_KL -> kl(teacher, student);
      case REVERSE_KL -> kl(student, teacher);
      case JSD ->
          beta * klToMixture(teacher, student, teacher)
              + (1 - beta) * klToMixture(student, student, teacher);
    };
  }

  /** Its gradient for the student's logits, all columns; 0 where the student has no mass. */
  public double[] gradient(ReferenceDistribution student, ReferenceDistribution teacher) {
    double[] gradient = new double[student.columns()];
    double constant =
        switch (kind) {
          case FORWARD_KL -> 0;
          case REVERSE_KL -> kl(student, teacher);
          case JSD -> klToMixture(student, student, teacher);
        };
    for (int j = 0; j < student.validColumns(); j++) {
      if (student.broken() || teacher.broken()) {
        gradient[j] = Double.NaN;
      } else if (student.has(j)) {
        double p = student.probability(j);
        double derivative =
            switch (kind) {
              case FORWARD_KL -> p - teacher.probability(j);
              case REVERSE_KL ->
                  p * (student.logProbability(j) - teacher.logProbability(j) - constant);
              case JSD ->
                  (1 - beta)
                      * p
                      * (student.logProbability(j) - logMixture(j, student, teacher) - constant);
            };
        gradient[j] = derivative * student.slope(j);
      }
    }
    return gradient;
  }

  private static double kl(ReferenceDistribution left, ReferenceDistribution right) {
    double total = left.broken() || right.broken() ? Double.NaN : 0;
    for (int j = 0; j < left.validColumns(); j++) {
      total +=
          left.has(j)
              ? left.probability(j) * (left.logProbability(j) - right.logProbability(j))
              : 0;
    }
    return total;
  }

  private double klToMixture(
      ReferenceDistribution left, ReferenceDistribution student, ReferenceDistribution teacher) {
    double total = student.broken() || teacher.broken() ? Double.NaN : 0;
    for (int j = 0; j < left.validColumns(); j++) {
      total +=
          left.has(j)
              ? left.probability(j) * (left.logProbability(j) - logMixture(j, student, teacher))
              : 0;
    }
    return total;
  }

  private double logMixture(
      int column, ReferenceDistribution student, ReferenceDistribution teacher) {
    double a = Math.log(beta) + teacher.logProbability(column);
    double b = Math.log1p(-beta) + student.logProbability(column);
    double high = Math.max(a, b);
    return high == Double.NEGATIVE_INFINITY
        ? high
        : high + Math.log1p(Math.exp(Math.min(a, b) - high));
  }
}
