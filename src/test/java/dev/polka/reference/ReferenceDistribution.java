package dev.polka.reference;

import java.util.Arrays;

/**
 * One row of logits as a distribution, in f64 and by the definitions: the probabilities are formed
 * and summed, nothing is fused. A row with {@code +inf}, NaN or no finite column is broken:
 * everything about it is NaN.
 */
public final class ReferenceDistribution {
  private final ReferenceSoftmax softmax;
  private final int columns;
  private final int target;
  private final double[] logits;
  private final double[] scaled;
  private final double[] shifted;
  private final double max;
  private final double sum;
  private final double logSum;
  private final boolean broken;
  private final boolean measure;

  private ReferenceDistribution(
      double[] logits, ReferenceSoftmax softmax, int target, boolean measure) {
    this.softmax = softmax;
    this.measure = measure;
    this.columns = logits.length;
    this.target = target;
    int valid = softmax.validVocab() == 0 ? columns : softmax.validVocab();
    this.logits = Arrays.copyOf(logits, valid);
    this.scaled = new double[valid];
    this.shifted = new double[valid];
    boolean bad = false;
    double top = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < valid; j++) {
      boolean kept = softmax.keeps(j, target);
      scaled[j] =
          kept && logits[j] != Double.NEGATIVE_INFINITY
              ? softmax.cap(logits[j]) / softmax.temperature()
              : Double.NEGATIVE_INFINITY;
      bad |= kept && (Double.isNaN(logits[j]) || logits[j] == Double.POSITIVE_INFINITY);
      top = Math.max(top, scaled[j]);
    }
    this.broken = bad || top == Double.NEGATIVE_INFINITY;
    this.max = top;
    int largest = -1;
    double rest = 0;
    for (int j = 0; j < valid; j++) {
      shifted[j] = scaled[j] == Double.NEGATIVE_INFINITY ? 0 : Math.exp(scaled[j] - top);
      largest = largest < 0 && scaled[j] == top ? j : largest;
      rest += j == largest ? 0 : shifted[j];
    }
    // The largest term is 1; added first, it would swallow the digits of a small rest.
    this.sum = 1 + rest;
    this.logSum = broken ? Double.NaN : Math.log1p(rest);
  }

  /**
   * The distribution of the given logits; {@code target} is the column that is always kept, or -1.
   */
  public static ReferenceDistribution of(double[] logits, ReferenceSoftmax softmax, int target) {
    return new ReferenceDistribution(logits, softmax, target, false);
  }

  /** The measure whose logarithm the row is, as it is: its probabilities sum to anything. */
  public static ReferenceDistribution measure(double[] logWeights, ReferenceSoftmax softmax) {
    return new ReferenceDistribution(logWeights, softmax, -1, true);
  }

  public static ReferenceDistribution of(float[] logits, ReferenceSoftmax softmax, int target) {
    return of(Storage.widen(logits), softmax, target);
  }

  /** The same logits at another temperature. */
  public ReferenceDistribution atTemperature(double temperature) {
    return of(Arrays.copyOf(logits, columns), softmax.withTemperature(temperature), target);
  }

  public boolean broken() {
    return broken;
  }

  /** Largest softcapped logit, before the temperature. */
  public double max() {
    return broken ? Double.NaN : max * softmax.temperature();
  }

  /** {@code ln sum exp((y - max) / T)}. */
  public double logSum() {
    return logSum;
  }

  public double lse() {
    return max + logSum;
  }

  public double logProbability(int column) {
    return measure ? scaled[column] : scaled[column] - max - logSum;
  }

  private double sumBut(int column) {
    double rest = 0;
    for (int j = 0; j < shifted.length; j++) {
      rest += j == column ? 0 : shifted[j];
    }
    return rest;
  }

  public double probability(int column) {
    return broken ? Double.NaN : measure ? Math.exp(scaled[column]) : shifted[column] / sum;
  }

  /** Whether the column has mass at all. */
  public boolean has(int column) {
    return column < scaled.length && scaled[column] != Double.NEGATIVE_INFINITY;
  }

  public int validColumns() {
    return scaled.length;
  }

  public double entropy() {
    double entropy = broken ? Double.NaN : 0;
    for (int j = 0; j < scaled.length; j++) {
      entropy -= has(j) ? probability(j) * logProbability(j) : 0;
    }
    return entropy;
  }

  public double sumOfSquares() {
    double squares = 0;
    for (int j = 0; j < scaled.length; j++) {
      squares += probability(j) * probability(j);
    }
    return squares;
  }

  /** Columns with a finite logit that the mask keeps. */
  public int finiteColumns() {
    int finite = 0;
    for (int j = 0; j < scaled.length; j++) {
      finite += has(j) ? 1 : 0;
    }
    return finite;
  }

  /** Mean of x over the finite kept columns. */
  public double meanLogit() {
    double total = broken ? Double.NaN : 0;
    for (int j = 0; j < scaled.length; j++) {
      total += has(j) ? scaled[j] : 0;
    }
    return total / finiteColumns();
  }

  /** Mean of |x| over the finite kept columns: the scale of the terms of the mean logit. */
  public double meanMagnitude() {
    double total = broken ? Double.NaN : 0;
    for (int j = 0; j < scaled.length; j++) {
      total += has(j) ? Math.abs(scaled[j]) : 0;
    }
    return total / finiteColumns();
  }

  /** KL from the uniform distribution over the finite kept columns. */
  public double selfCertainty() {
    int n = finiteColumns();
    double divergence = broken ? Double.NaN : 0;
    for (int j = 0; j < scaled.length; j++) {
      divergence += has(j) ? (-Math.log(n) - logProbability(j)) / n : 0;
    }
    return divergence;
  }

  /** The largest probability (place 0) or the second largest (place 1, 0 where there is none). */
  public double topProbability(int place) {
    double first = 0;
    double second = 0;
    for (double e : shifted) {
      second = Math.max(second, Math.min(first, e));
      first = Math.max(first, e);
    }
    return broken ? Double.NaN : (place == 0 ? first : second) / sum;
  }

  /**
   * Gradient for the logits of {@code a logProb(target) + b entropy + c selfCertainty}, all
   * columns, zero where a column has no mass. A target without mass contributes nothing.
   */
  public double[] gradient(double a, double b, double c) {
    double[] gradient = new double[columns];
    double entropy = b == 0 ? 0 : entropy();
    int n = finiteColumns();
    for (int j = 0; j < scaled.length; j++) {
      if (broken) {
        gradient[j] = Double.NaN;
      } else if (has(j)) {
        double p = probability(j);
        double ofLogProb = a == 0 || !has(target) ? 0 : j == target ? sumBut(j) / sum : -p;
        double ofEntropy = b == 0 ? 0 : -p * (logProbability(j) + entropy);
        double ofCertainty = c == 0 ? 0 : p - 1.0 / n;
        gradient[j] = (a * ofLogProb + b * ofEntropy + c * ofCertainty) * softmax.slope(logits[j]);
      }
    }
    return gradient;
  }

  /** dx/dz of a column. */
  double slope(int column) {
    return softmax.slope(logits[column]);
  }

  int columns() {
    return columns;
  }
}
