package dev.polka.conformance;

/**
 * A log-prob vector: logits, targets, a temperature, and upstream gradients of log-prob and
 * entropy.
 */
record LogProbVector(
    GoldenCase golden,
    double temperature,
    double[][] logits,
    long[] targets,
    double[] dLogProb,
    double[] dEntropy) {
  static LogProbVector of(GoldenCase c) {
    double[] target = c.inputs("target");
    long[] targets = new long[target.length];
    for (int r = 0; r < target.length; r++) {
      targets[r] = (long) target[r];
    }
    return new LogProbVector(
        c,
        c.option("temperature", 1.0),
        c.inputRows("student_logits"),
        targets,
        c.inputs("grad_log_prob"),
        c.inputs("grad_entropy"));
  }

  void checkValues(String field, double bar, double[] actual) {
    double[] expected = GoldenCase.vector(golden.expected().get(field));
    for (int r = 0; r < expected.length; r++) {
      Tolerance.assertClose(field + "[" + r + "]", bar, actual[r], expected[r], scaledLogit(r));
    }
  }

  void checkGradient(String field, double bar, double[] upstream, double[][] actual) {
    double[][] expected = GoldenCase.rows(golden.expected().get(field));
    for (int r = 0; r < expected.length; r++) {
      for (int j = 0; j < expected[r].length; j++) {
        String what = field + "[" + r + "][" + j + "]";
        Tolerance.assertGradient(
            what, bar, actual[r][j], expected[r][j], upstream[r], scaledLogit(r));
      }
    }
  }

  private double scaledLogit(int row) {
    return Tolerance.largest(logits[row]) / Math.min(temperature, 1);
  }
}
