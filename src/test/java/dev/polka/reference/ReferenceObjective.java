package dev.polka.reference;

import static java.lang.Double.POSITIVE_INFINITY;

import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;

/**
 * The options of a policy objective, named as in the contract. Infinity turns a bound off, 0 turns
 * the dual clip and the ratio bound off; {@code klEstimator} null means no KL term.
 */
public record ReferenceObjective(
    double clipLow,
    double clipHigh,
    double dualClip,
    double ratioMax,
    double maxLogRatio,
    boolean sequenceRatio,
    boolean throughMean,
    double sequenceMaxLogRatio,
    Estimator klEstimator,
    Gradient klGradient,
    double klCoefficient,
    double k3Max,
    double entropyCoefficient,
    boolean skipNonFinite) {

  /** PPO's symmetric clip at 0.2 with the log-ratio bounds at 20. */
  public static final ReferenceObjective PPO =
      new ReferenceObjective(
          0.2,
          0.2,
          0,
          0,
          20,
          false,
          false,
          20,
          null,
          Gradient.PATHWISE,
          0,
          POSITIVE_INFINITY,
          0,
          false);

  public ReferenceObjective withClip(double low, double high) {
    return new ReferenceObjective(
        low,
        high,
        dualClip,
        ratioMax,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withoutClip() {
    return withClip(POSITIVE_INFINITY, POSITIVE_INFINITY);
  }

  public ReferenceObjective withDualClip(double value) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        value,
        ratioMax,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withRatioMax(double value) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        value,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withMaxLogRatio(double value) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        ratioMax,
        value,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withSequenceRatio(boolean gradientThroughMean) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        ratioMax,
        maxLogRatio,
        true,
        gradientThroughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withSequenceMaxLogRatio(double value) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        ratioMax,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        value,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withKl(Estimator estimator, Gradient mode, double coefficient) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        ratioMax,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        estimator,
        mode,
        coefficient,
        k3Max,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withK3Max(double value) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        ratioMax,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        value,
        entropyCoefficient,
        skipNonFinite);
  }

  public ReferenceObjective withEntropyBonus(double coefficient) {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        ratioMax,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        coefficient,
        skipNonFinite);
  }

  public ReferenceObjective withSkipNonFinite() {
    return new ReferenceObjective(
        clipLow,
        clipHigh,
        dualClip,
        ratioMax,
        maxLogRatio,
        sequenceRatio,
        throughMean,
        sequenceMaxLogRatio,
        klEstimator,
        klGradient,
        klCoefficient,
        k3Max,
        entropyCoefficient,
        true);
  }
}
