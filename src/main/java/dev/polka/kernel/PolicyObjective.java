package dev.polka.kernel;

import dev.polka.kernel.internal.PolicyObjectiveStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import java.nio.ByteBuffer;
import java.util.Objects;

/** The token objective of {@link PolicyLoss}: the options that say what is minimised. */
record PolicyObjective(
    Surrogate surrogate,
    Clip clip,
    Ratio ratio,
    Kl kl,
    Extras extras,
    double entropyBonus,
    boolean skipNonFinite) {

  PolicyObjective {
    if (surrogate != Surrogate.Basic.CLIP && (clip.dual != 0 || clip.ratioMax != 0)) {
      throw new IllegalArgumentException(
          "dual and two-sided clip: belong to the surrogate CLIP, not to " + surrogate);
    }
    if (surrogate.needsSequenceRatio() && ratio.level != RatioLevel.SEQUENCE) {
      throw new IllegalArgumentException(
          "ratio: is " + ratio.level + ", but " + surrogate + " needs that of a sequence");
    }
  }

  /** Bounds of the ratio; infinity, and 0 for the last two, switch one off. */
  record Clip(float low, float high, float dual, float ratioMax) {
    Clip {
      Require.margin("clip low", low);
      Require.margin("clip high", high);
      if (dual != 0 && !(dual > 1 && dual < Float.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException("dualClip: " + dual + " is not finite and > 1");
      }
      if (ratioMax != 0 && !(ratioMax > 1 + high && ratioMax < Float.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "twoSidedClip: " + ratioMax + " is not finite and > 1 + clip high " + high);
      }
    }
  }

  /** The importance ratio. */
  record Ratio(RatioLevel level, SequenceGradient gradient, float maxLog, float sequenceMaxLog) {
    Ratio {
      Objects.requireNonNull(level, "ratio");
      Objects.requireNonNull(gradient, "sequenceGradient");
      Require.bound("maxLogRatio", maxLog);
      Require.bound("sequenceMaxLogRatio", sequenceMaxLog);
    }
  }

  /** The KL term; a null estimator means none. */
  record Kl(KlEstimator estimator, KlGradient gradient, double coefficient, float k3Max) {
    Kl {
      Objects.requireNonNull(gradient, "klGradient");
      Require.finite("kl coefficient", coefficient);
      Require.bound("k3Max", k3Max);
    }
  }

  /** Penalties and masks that are off unless asked for; a null estimator means no anchor. */
  record Extras(
      KlEstimator anchor,
      double anchorCoefficient,
      double likelihood,
      float entropyThreshold,
      float offPolicyMax) {
    static final Extras NONE = new Extras(null, 0, 0, 0, 0);

    Extras {
      Require.finite("anchor coefficient", anchorCoefficient);
      Require.finite("likelihood", likelihood);
      Require.offOrPositive("entropyThreshold", entropyThreshold);
      Require.offOrPositive("offPolicyMask", offPolicyMax);
    }

    Extras withAnchor(KlEstimator estimator, double coefficient) {
      return new Extras(estimator, coefficient, likelihood, entropyThreshold, offPolicyMax);
    }

    Extras withLikelihood(double coefficient) {
      return new Extras(anchor, anchorCoefficient, coefficient, entropyThreshold, offPolicyMax);
    }

    Extras withEntropyThreshold(float threshold) {
      return new Extras(anchor, anchorCoefficient, likelihood, threshold, offPolicyMax);
    }

    Extras withOffPolicyMax(float maxDrift) {
      return new Extras(anchor, anchorCoefficient, likelihood, entropyThreshold, maxDrift);
    }
  }

  PolicyObjective withSurrogate(Surrogate other) {
    return new PolicyObjective(other, clip, ratio, kl, extras, entropyBonus, skipNonFinite);
  }

  PolicyObjective withClip(float low, float high, float dual, float ratioMax) {
    var other = new Clip(low, high, dual, ratioMax);
    return new PolicyObjective(surrogate, other, ratio, kl, extras, entropyBonus, skipNonFinite);
  }

  PolicyObjective withRatio(
      RatioLevel level, SequenceGradient gradient, float maxLog, float sequenceMaxLog) {
    var other = new Ratio(level, gradient, maxLog, sequenceMaxLog);
    return new PolicyObjective(surrogate, clip, other, kl, extras, entropyBonus, skipNonFinite);
  }

  PolicyObjective withKl(
      KlEstimator estimator, KlGradient gradient, double coefficient, float k3Max) {
    var other = new Kl(estimator, gradient, coefficient, k3Max);
    return new PolicyObjective(surrogate, clip, ratio, other, extras, entropyBonus, skipNonFinite);
  }

  PolicyObjective withExtras(Extras other) {
    return new PolicyObjective(surrogate, clip, ratio, kl, other, entropyBonus, skipNonFinite);
  }

  PolicyObjective withEntropyBonus(double coefficient) {
    Require.finite("entropyBonus", coefficient);
    return new PolicyObjective(surrogate, clip, ratio, kl, extras, coefficient, skipNonFinite);
  }

  PolicyObjective withSkipNonFinite() {
    return new PolicyObjective(surrogate, clip, ratio, kl, extras, entropyBonus, true);
  }

  /** Whether what a token gets depends on the others of its sequence. */
  boolean needsSequences() {
    return ratio.level == RatioLevel.SEQUENCE || extras.offPolicyMax != 0;
  }

  boolean needsEntropy() {
    return entropyBonus != 0 || extras.entropyThreshold != 0;
  }

  void write(ByteBuffer struct, int at) {
    writeSurrogate(struct, at);
    struct.putDouble(at + PolicyObjectiveStruct.KL_COEFFICIENT, kl.coefficient);
    struct.putDouble(at + PolicyObjectiveStruct.ENTROPY_COEFFICIENT, entropyBonus);
    struct.putFloat(at + PolicyObjectiveStruct.CLIP_LOW, clip.low);
    struct.putFloat(at + PolicyObjectiveStruct.CLIP_HIGH, clip.high);
    struct.putFloat(at + PolicyObjectiveStruct.DUAL_CLIP, clip.dual);
    struct.putFloat(at + PolicyObjectiveStruct.RATIO_MAX, clip.ratioMax);
    struct.putFloat(at + PolicyObjectiveStruct.MAX_LOG_RATIO, ratio.maxLog);
    struct.putFloat(at + PolicyObjectiveStruct.SEQUENCE_MAX_LOG_RATIO, ratio.sequenceMaxLog);
    struct.putFloat(at + PolicyObjectiveStruct.K3_MAX, kl.k3Max);
    struct.putInt(at + PolicyObjectiveStruct.RATIO_LEVEL, ratio.level.code());
    struct.putInt(at + PolicyObjectiveStruct.SEQUENCE_GRADIENT, ratio.gradient.code());
    struct.putInt(at + PolicyObjectiveStruct.KL_ESTIMATOR, code(kl.estimator));
    struct.putInt(at + PolicyObjectiveStruct.KL_GRADIENT_MODE, kl.gradient.code());
    struct.putInt(at + PolicyObjectiveStruct.SKIP_NON_FINITE, skipNonFinite ? 1 : 0);
    struct.putInt(at + PolicyObjectiveStruct.ANCHOR_ESTIMATOR, code(extras.anchor));
    struct.putDouble(at + PolicyObjectiveStruct.ANCHOR_COEFFICIENT, extras.anchorCoefficient);
    struct.putDouble(at + PolicyObjectiveStruct.NLL_COEFFICIENT, extras.likelihood);
    struct.putFloat(at + PolicyObjectiveStruct.ENTROPY_THRESHOLD, extras.entropyThreshold);
    struct.putFloat(at + PolicyObjectiveStruct.OFF_POLICY_MAX, extras.offPolicyMax);
  }

  private void writeSurrogate(ByteBuffer struct, int at) {
    int kind;
    if (surrogate instanceof Surrogate.SoftGate gate) {
      kind = PolkaNative.POLKA_OBJECTIVE_SAPO;
      struct.putFloat(at + PolicyObjectiveStruct.TAU_POSITIVE, gate.tauPositive());
      struct.putFloat(at + PolicyObjectiveStruct.TAU_NEGATIVE, gate.tauNegative());
    } else if (surrogate instanceof Surrogate.TrustRegion trust) {
      kind =
          switch (trust.measure()) {
            case TOTAL_VARIATION -> PolkaNative.POLKA_OBJECTIVE_DPPO_TV;
            case KL -> PolkaNative.POLKA_OBJECTIVE_DPPO_KL;
            case PROBABILITY -> PolkaNative.POLKA_OBJECTIVE_IPO;
          };
      struct.putFloat(at + PolicyObjectiveStruct.TRUST_LOW, trust.low());
      struct.putFloat(at + PolicyObjectiveStruct.TRUST_HIGH, trust.high());
      struct.putFloat(at + PolicyObjectiveStruct.SURROGATE_MAX, trust.ratioMax());
    } else if (surrogate instanceof Surrogate.GammaWeight weight) {
      kind = PolkaNative.POLKA_OBJECTIVE_VESPO;
      struct.putFloat(at + PolicyObjectiveStruct.SHAPE_POSITIVE, weight.shapePositive());
      struct.putFloat(at + PolicyObjectiveStruct.RATE_POSITIVE, weight.ratePositive());
      struct.putFloat(at + PolicyObjectiveStruct.SHAPE_NEGATIVE, weight.shapeNegative());
      struct.putFloat(at + PolicyObjectiveStruct.RATE_NEGATIVE, weight.rateNegative());
    } else if (surrogate instanceof Surrogate.Regression regression) {
      kind = PolkaNative.POLKA_OBJECTIVE_REGRESSION;
      struct.putFloat(at + PolicyObjectiveStruct.REGRESSION_SCALE, regression.scale());
    } else {
      kind =
          switch ((Surrogate.Basic) surrogate) {
            case CLIP -> PolkaNative.POLKA_OBJECTIVE_CLIP;
            case CISPO -> PolkaNative.POLKA_OBJECTIVE_CISPO;
            case CISPO_MASKED -> PolkaNative.POLKA_OBJECTIVE_CISPO_MASKED;
            case MASKED_IMPORTANCE -> PolkaNative.POLKA_OBJECTIVE_MASKED_IS;
            case TOPR -> PolkaNative.POLKA_OBJECTIVE_TOPR;
            case REINFORCE -> PolkaNative.POLKA_OBJECTIVE_REINFORCE;
            case GEOMETRIC_MEAN -> PolkaNative.POLKA_OBJECTIVE_GMPO;
          };
    }
    struct.putInt(at + PolicyObjectiveStruct.KIND, kind);
  }

  private static int code(KlEstimator estimator) {
    return estimator == null ? 0 : estimator.code();
  }

  /** What is on, in a line; bounds at their defaults go without saying. */
  String describe() {
    var text = new StringBuilder(surrogate.toString());
    boolean open = clip.low == PolicyLoss.NONE && clip.high == PolicyLoss.NONE;
    append(text, !open, "clip [1 - " + plain(clip.low) + ", 1 + " + plain(clip.high) + "]");
    append(text, clip.dual != 0, "dual clip " + clip.dual);
    append(text, clip.ratioMax != 0, "two-sided clip " + clip.ratioMax);
    boolean bySequence = ratio.level == RatioLevel.SEQUENCE;
    append(text, bySequence, "sequence ratio " + ratio.gradient);
    append(text, ratio.maxLog != PolicyLoss.DEFAULT_MAX_LOG_RATIO, "log-ratio <= " + ratio.maxLog);
    boolean ownBound = bySequence && ratio.sequenceMaxLog != PolicyLoss.DEFAULT_MAX_LOG_RATIO;
    append(text, ownBound, "mean log-ratio <= " + ratio.sequenceMaxLog);
    append(text, kl.estimator != null, "KL " + kl.coefficient + " " + kl.estimator);
    append(text, kl.estimator != null, kl.gradient + "");
    append(text, kl.k3Max != PolicyLoss.NONE, "k3 <= " + kl.k3Max);
    append(text, extras.anchor != null, "anchor " + extras.anchorCoefficient + " " + extras.anchor);
    append(text, extras.likelihood != 0, "likelihood " + extras.likelihood);
    append(text, extras.entropyThreshold != 0, "entropy >= " + extras.entropyThreshold);
    append(text, extras.offPolicyMax != 0, "drift <= " + extras.offPolicyMax);
    append(text, entropyBonus != 0, "entropy bonus " + entropyBonus);
    append(text, skipNonFinite, "skips non-finite rows");
    return text.toString();
  }

  private static void append(StringBuilder text, boolean on, String part) {
    if (on) {
      text.append(", ").append(part);
    }
  }

  private static String plain(float bound) {
    return bound == PolicyLoss.NONE ? "none" : Float.toString(bound);
  }
}
