package dev.polka.reference;

/**
 * How a row of logits {@code z} becomes {@code x = softcap tanh(z / softcap) / temperature}:
 * softcap 0 means none, the keep mask (null: keep all) turns columns into {@code -inf} except the
 * target, and columns from {@code validVocab} on (0: all columns are valid) do not exist.
 */
public record ReferenceSoftmax(double temperature, double softcap, boolean[] keep, int validVocab) {
  public static final ReferenceSoftmax PLAIN = at(1);

  /** At the temperature as an f32 option holds it. */
  public static ReferenceSoftmax at(float temperature) {
    return exactlyAt(temperature);
  }

  public static ReferenceSoftmax exactlyAt(double temperature) {
    return new ReferenceSoftmax(temperature, 0, null, 0);
  }

  public ReferenceSoftmax withTemperature(double value) {
    return new ReferenceSoftmax(value, softcap, keep, validVocab);
  }

  public ReferenceSoftmax withSoftcap(double value) {
    return new ReferenceSoftmax(temperature, value, keep, validVocab);
  }

  public ReferenceSoftmax withKeep(boolean[] value) {
    return new ReferenceSoftmax(temperature, softcap, value, validVocab);
  }

  public ReferenceSoftmax withValidVocab(int value) {
    return new ReferenceSoftmax(temperature, softcap, keep, value);
  }

  /** Logits after softcap of {@code lambda teacher + (1 - lambda) reference}. */
  public double[] mixture(float[] teacher, float[] reference, double lambda) {
    double[] mixed = new double[teacher.length];
    for (int j = 0; j < mixed.length; j++) {
      double first = lambda == 0 ? 0 : lambda * cap(teacher[j]);
      double second = lambda == 1 ? 0 : (1 - lambda) * cap(reference[j]);
      boolean masked =
          lambda != 0 && teacher[j] == Float.NEGATIVE_INFINITY
              || lambda != 1 && reference[j] == Float.NEGATIVE_INFINITY;
      mixed[j] = masked ? Double.NEGATIVE_INFINITY : first + second;
    }
    return mixed;
  }

  boolean keeps(int column, int target) {
    return keep == null || keep[column] || column == target;
  }

  double cap(double logit) {
    return softcap == 0 ? logit : softcap * Math.tanh(logit / softcap);
  }

  /** dx/dz. */
  double slope(double logit) {
    double tanh = softcap == 0 ? 0 : Math.tanh(logit / softcap);
    return (1 - tanh * tanh) / temperature;
  }
}
