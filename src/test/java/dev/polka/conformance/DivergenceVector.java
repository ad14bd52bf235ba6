package dev.polka.conformance;

import dev.polka.reference.ReferenceDivergence;

/**
 * A divergence vector: student and teacher logits, a temperature for both, upstream gradients of
 * the rows' values.
 */
record DivergenceVector(
    GoldenCase golden,
    ReferenceDivergence divergence,
    double temperature,
    double[][] student,
    double[][] teacher,
    double[] upstream) {
  private static ReferenceDivergence divergence(GoldenCase c) {
    double beta = c.option("beta", 0.5);
    return switch (c.option("kind", "")) {
      case "forward_kl" -> ReferenceDivergence.forwardKl();
      case "reverse_kl" -> ReferenceDivergence.reverseKl();
      case "jsd" -> ReferenceDivergence.jsd(beta);
      case "skew_forward_kl" -> ReferenceDivergence.skewForwardKl(beta);
      case "skew_reverse_kl" -> ReferenceDivergence.skewReverseKl(beta);
      case "total_variation" -> ReferenceDivergence.totalVariation();
      case "chi_squared" -> ReferenceDivergence.chiSquared();
      default -> throw new IllegalArgumentException("kind: " + c.name());
    };
  }

  static DivergenceVector of(GoldenCase c) {
    return new DivergenceVector(
        c,
        divergence(c),
        c.option("temperature", 1.0),
        c.inputRows("student_logits"),
        c.inputRows("teacher_logits"),
        c.inputs("grad_divergence"));
  }

  void check(double bar, double[] values, double[][] gradient) {
    double[] expected = GoldenCase.vector(golden.expected().get("divergence"));
    double[][] expectedGradient = GoldenCase.rows(golden.expected().get("d_student_logits"));
    for (int r = 0; r < expected.length; r++) {
      double logit = Tolerance.largest(student[r]) / Math.min(temperature, 1);
      double teacherLogit = Tolerance.largest(teacher[r]) / Math.min(temperature, 1);
      Tolerance.assertClose(
          "divergence[" + r + "]", bar, values[r], expected[r], logit, teacherLogit);
      for (int j = 0; j < expectedGradient[r].length; j++) {
        String what = "d_student_logits[" + r + "][" + j + "]";
        Tolerance.assertGradient(
            what, bar, gradient[r][j], expectedGradient[r][j], upstream[r], logit, teacherLogit);
      }
    }
  }
}
