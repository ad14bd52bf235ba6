package dev.polka.distill;

/** The softmax of one row of logits, in f64 on the host. */
final class HostSoftmax {
  private HostSoftmax() {}

  /** Probabilities; a column at -inf has 0. */
  static double[] of(String name, double[] logits, double temperature) {
    double max = Double.NEGATIVE_INFINITY;
    for (int v = 0; v < logits.length; v++) {
      if (Double.isNaN(logits[v]) || logits[v] == Double.POSITIVE_INFINITY) {
        throw new IllegalArgumentException(
            name + ": " + logits[v] + " at column " + v + " is neither finite nor -Infinity");
      }
      max = Math.max(max, logits[v]);
    }
    if (max == Double.NEGATIVE_INFINITY) {
      throw new IllegalArgumentException(
          name + ": none of the " + logits.length + " columns is above -Infinity");
    }
    double[] p = new double[logits.length];
    double sum = 0;
    for (int v = 0; v < p.length; v++) {
      p[v] = Math.exp((logits[v] - max) / temperature);
      sum += p[v];
    }
    for (int v = 0; v < p.length; v++) {
      p[v] /= sum;
    }
    return p;
  }
}
