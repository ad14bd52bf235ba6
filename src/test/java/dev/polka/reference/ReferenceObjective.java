package dev.polka.reference;

import static java.lang.Double.POSITIVE_INFINITY;

import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.function.Consumer;

/**
 * The options of a policy objective, named as in the contract. Infinity turns a bound off, 0 turns
 * the dual clip, the ratio bounds and the masks off; an estimator of null means no such term.
 * Immutable from outside: each {@code with} method copies.
 */
public final class ReferenceObjective implements Cloneable {
  /** The kinds of objective. */
  public enum Kind {
    CLIP,
    CISPO,
    CISPO_MASKED,
    MASKED_IS,
    TOPR,
    REINFORCE,
    SAPO,
    DPPO_TV,
    DPPO_KL,
    IPO,
    GMPO,
    VESPO,
    REGRESSION
  }

  /** PPO's symmetric clip at 0.2 with the log-ratio bounds at 20. */
  public static final ReferenceObjective PPO = new ReferenceObjective();

  private Kind kind = Kind.CLIP;
  private double clipLow = 0.2;
  private double clipHigh = 0.2;
  private double dualClip;
  private double ratioMax;
  private double maxLogRatio = 20;
  private boolean sequenceRatio;
  private boolean throughMean;
  private double sequenceMaxLogRatio = 20;
  private Estimator klEstimator;
  private Gradient klGradient = Gradient.PATHWISE;
  private double klCoefficient;
  private double k3Max = POSITIVE_INFINITY;
  private double entropyCoefficient;
  private boolean skipNonFinite;
  private double tauPositive = 1;
  private double tauNegative = 1.05;
  private double[] gamma = {2, 3, 3, 2}; // shape and rate for A >= 0, then for A < 0
  private double trust = 0.2;
  private double trustRatioMax;
  private Estimator anchorEstimator;
  private double anchorCoefficient;
  private double likelihood;
  private double entropyThreshold;
  private double offPolicyMax;
  private double regressionScale = 0.5;

  private ReferenceObjective() {}

  private ReferenceObjective with(Consumer<ReferenceObjective> change) {
    try {
      ReferenceObjective copy = (ReferenceObjective) clone();
      change.accept(copy);
      return copy;
    } catch (CloneNotSupportedException impossible) {
      throw new AssertionError(impossible);
    }
  }

  public ReferenceObjective withKind(Kind value) {
    boolean whole = value.compareTo(Kind.GMPO) >= 0;
    return with(
        o -> {
          o.kind = value;
          o.sequenceRatio |= whole;
          o.throughMean |= whole;
        });
  }

  public ReferenceObjective withClip(double low, double high) {
    return with(
        o -> {
          o.clipLow = low;
          o.clipHigh = high;
        });
  }

  public ReferenceObjective withoutClip() {
    return withClip(POSITIVE_INFINITY, POSITIVE_INFINITY);
  }

  public ReferenceObjective withDualClip(double value) {
    return with(o -> o.dualClip = value);
  }

  public ReferenceObjective withRatioMax(double value) {
    return with(o -> o.ratioMax = value);
  }

  public ReferenceObjective withMaxLogRatio(double value) {
    return with(o -> o.maxLogRatio = value);
  }

  public ReferenceObjective withSequenceRatio(boolean gradientThroughMean) {
    return with(
        o -> {
          o.sequenceRatio = true;
          o.throughMean = gradientThroughMean;
        });
  }

  public ReferenceObjective withSequenceMaxLogRatio(double value) {
    return with(o -> o.sequenceMaxLogRatio = value);
  }

  public ReferenceObjective withKl(Estimator estimator, Gradient mode, double coefficient) {
    return with(
        o -> {
          o.klEstimator = estimator;
          o.klGradient = mode;
          o.klCoefficient = coefficient;
        });
  }

  public ReferenceObjective withK3Max(double value) {
    return with(o -> o.k3Max = value);
  }

  public ReferenceObjective withEntropyBonus(double coefficient) {
    return with(o -> o.entropyCoefficient = coefficient);
  }

  public ReferenceObjective withSkipNonFinite() {
    return with(o -> o.skipNonFinite = true);
  }

  public ReferenceObjective withTrust(double bound, double surrogateMax) {
    return with(
        o -> {
          o.trust = bound;
          o.trustRatioMax = surrogateMax;
        });
  }

  public ReferenceObjective withAnchor(Estimator estimator, double coefficient) {
    return with(
        o -> {
          o.anchorEstimator = estimator;
          o.anchorCoefficient = coefficient;
        });
  }

  public ReferenceObjective withLikelihood(double coefficient) {
    return with(o -> o.likelihood = coefficient);
  }

  public ReferenceObjective withEntropyThreshold(double threshold) {
    return with(o -> o.entropyThreshold = threshold);
  }

  public ReferenceObjective withOffPolicyMask(double maxDrift) {
    return with(o -> o.offPolicyMax = maxDrift);
  }

  public Kind kind() {
    return kind;
  }

  public double clipLow() {
    return clipLow;
  }

  public double clipHigh() {
    return clipHigh;
  }

  public double dualClip() {
    return dualClip;
  }

  public double ratioMax() {
    return ratioMax;
  }

  public double maxLogRatio() {
    return maxLogRatio;
  }

  public boolean sequenceRatio() {
    return sequenceRatio;
  }

  public boolean throughMean() {
    return throughMean;
  }

  public double sequenceMaxLogRatio() {
    return sequenceMaxLogRatio;
  }

  public Estimator klEstimator() {
    return klEstimator;
  }

  public Gradient klGradient() {
    return klGradient;
  }

  public double klCoefficient() {
    return klCoefficient;
  }

  public double k3Max() {
    return k3Max;
  }

  public double entropyCoefficient() {
    return entropyCoefficient;
  }

  public boolean skipNonFinite() {
    return skipNonFinite;
  }

  /** SAPO's temperature. */
  public double tau(double advantage) {
    return advantage > 0 ? tauPositive : tauNegative;
  }

  /** VESPO's shape. */
  public double shape(double advantage) {
    return gamma[advantage < 0 ? 2 : 0];
  }

  /** VESPO's rate. */
  public double rate(double advantage) {
    return gamma[advantage < 0 ? 3 : 1];
  }

  /** The trust region's bound, both ways. */
  public double trust() {
    return trust;
  }

  public double trustRatioMax() {
    return trustRatioMax;
  }

  public Estimator anchorEstimator() {
    return anchorEstimator;
  }

  public double anchorCoefficient() {
    return anchorCoefficient;
  }

  public double likelihood() {
    return likelihood;
  }

  public double entropyThreshold() {
    return entropyThreshold;
  }

  public double offPolicyMax() {
    return offPolicyMax;
  }

  public double regressionScale() {
    return regressionScale;
  }

  @Override
  public String toString() {
    return kind
        + " clip "
        + clipLow
        + "/"
        + clipHigh
        + (dualClip == 0 ? "" : " dual " + dualClip)
        + (ratioMax == 0 ? "" : " two-sided " + ratioMax)
        + (sequenceRatio ? throughMean ? " sequence" : " sequence detached" : "")
        + (klEstimator == null ? "" : " kl " + klEstimator + " " + klGradient)
        + (anchorEstimator == null ? "" : " anchor " + anchorEstimator)
        + (likelihood == 0 ? "" : " likelihood")
        + (entropyThreshold == 0 ? "" : " entropy mask")
        + (offPolicyMax == 0 ? "" : " off-policy mask")
        + (entropyCoefficient == 0 ? "" : " entropy bonus");
  }
}
