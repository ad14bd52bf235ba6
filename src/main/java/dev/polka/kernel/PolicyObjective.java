package dev.polka.kernel;

import dev.polka.kernel.internal.PolicyObjectiveStruct;
import java.nio.ByteBuffer;
import java.util.Objects;

/** The token objective of {@link PolicyLoss}: the options that say what is minimised. */
record PolicyObjective(Clip clip, Ratio ratio, Kl kl, double entropyBonus, boolean skipNonFinite) {

  /** Bounds of the ratio; infinity, and 0 for the last two, switch one off. */
  record Clip(float low, float high, float dual, float ratioMax) {
    Clip {
      requireMargin("clip low", low);
      requireMargin("clip high", high);
      if (dual != 0 && !(dual > 1 && dual < Float.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException("dualClip: " + dual + " is not finite and > 1");
      }
      if (ratioMax != 0 && !(ratioMax > 1 + high && ratioMax < Float.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "twoSidedClip: " + ratioMax + " is not finite and > 1 + clip high " + high);
      }
    }

    private static void requireMargin(String name, float margin) {
      if (!(margin >= 0)) {
        throw new IllegalArgumentException(name + ": " + margin + " is not >= 0");
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

  PolicyObjective withClip(float low, float high, float dual, float ratioMax) {
    var other = new Clip(low, high, dual, ratioMax);
    return new PolicyObjective(other, ratio, kl, entropyBonus, skipNonFinite);
  }

  PolicyObjective withRatio(
      RatioLevel level, SequenceGradient gradient, float maxLog, float sequenceMaxLog) {
    var other = new Ratio(level, gradient, maxLog, sequenceMaxLog);
    return new PolicyObjective(clip, other, kl, entropyBonus, skipNonFinite);
  }

  PolicyObjective withKl(
      KlEstimator estimator, KlGradient gradient, double coefficient, float k3Max) {
    var other = new Kl(estimator, gradient, coefficient, k3Max);
    return new PolicyObjective(clip, ratio, other, entropyBonus, skipNonFinite);
  }

  PolicyObjective withEntropyBonus(double coefficient) {
    Require.finite("entropyBonus", coefficient);
    return new PolicyObjective(clip, ratio, kl, coefficient, skipNonFinite);
  }

  PolicyObjective withSkipNonFinite() {
    return new PolicyObjective(clip, ratio, kl, entropyBonus, true);
  }

  void write(ByteBuffer struct, int at) {
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
    struct.putInt(
        at + PolicyObjectiveStruct.KL_ESTIMATOR, kl.estimator == null ? 0 : kl.estimator.code());
    struct.putInt(at + PolicyObjectiveStruct.KL_GRADIENT_MODE, kl.gradient.code());
    struct.putInt(at + PolicyObjectiveStruct.SKIP_NON_FINITE, skipNonFinite ? 1 : 0);
  }
}
