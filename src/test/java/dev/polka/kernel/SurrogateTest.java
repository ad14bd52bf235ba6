package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceObjective.Kind;
import dev.polka.reference.ReferencePolicyLoss.Result;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

class SurrogateTest {
  @Test
  void everyPresetSaysWhatItMinimises() {
    assertThat(PolicyLoss.dapo()).hasToString("CLIP, clip [1 - 0.2, 1 + 0.28]");
    assertThat(PolicyLoss.gspo().withKl(KlEstimator.K3, 0.1))
        .hasToString(
            "CLIP, clip [1 - 3.0E-4, 1 + 4.0E-4], sequence ratio THROUGH_MEAN,"
                + " KL 0.1 K3, STRAIGHT_THROUGH_K2");
    assertThat(PolicyLoss.cispo()).hasToString("CISPO, clip [1 - none, 1 + 0.2]");
    assertThat(PolicyLoss.sppo()).hasToString("Regression[scale=1.0], sequence ratio THROUGH_MEAN");
    assertThat(PolicyLoss.reinforce()).hasToString("REINFORCE");
    assertThat(PolicyLoss.dro(0.05)).hasToString("REINFORCE, anchor 0.05 K2");
    assertThat(PolicyLoss.sapo()).hasToString("SoftGate[tauPositive=1.0, tauNegative=1.05]");
    assertThat(PolicyLoss.ppo().withOffPolicyMask(0.5f).withEntropyThreshold(1).withLikelihood(2))
        .hasToString("CLIP, clip [1 - 0.2, 1 + 0.2], likelihood 2.0, entropy >= 1.0, drift <= 0.5");
  }

  @Test
  void aSurrogateForSequencesRefusesTokenRatios() {
    assertThatThrownBy(() -> PolicyLoss.ppo().withSurrogate(Surrogate.Basic.GEOMETRIC_MEAN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("ratio: is TOKEN, but GEOMETRIC_MEAN needs that of a sequence");
    assertThatThrownBy(() -> PolicyLoss.vespo().withRatio(RatioLevel.TOKEN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("GammaWeight");
  }

  @Test
  void dualAndTwoSidedClipBelongToTheClip() {
    assertThatThrownBy(() -> PolicyLoss.cispo().withDualClip(3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("dual and two-sided clip: belong to the surrogate CLIP, not to CISPO");
  }

  @Test
  void parametersOutOfRangeAreNamed() {
    assertThatThrownBy(() -> new Surrogate.SoftGate(0, 1))
        .hasMessage("tauPositive: 0.0 is not finite and > 0");
    assertThatThrownBy(() -> new Surrogate.TrustRegion(Surrogate.Measure.KL, -1, 1, 0))
        .hasMessage("trust region: low: -1.0 is not >= 0");
    assertThatThrownBy(() -> new Surrogate.GammaWeight(2, 3, Float.NaN, 2))
        .hasMessage("shapeNegative: NaN is not finite");
    assertThatThrownBy(() -> PolicyLoss.ppo().withEntropyThreshold(-1))
        .hasMessage("entropyThreshold: -1.0 is neither 0 (off) nor finite and > 0");
  }

  @Test
  void anEntropyThresholdNeedsEntropies() {
    try (Floats logProb = Floats.copyOf(-1);
        Floats advantages = Floats.copyOf(1);
        Longs offsets = Longs.copyOf(0, 1)) {
      TokenBatch batch = TokenBatch.ofOffsets(offsets).withAdvantages(advantages);
      PolicyLoss loss = PolicyLoss.ppo().withEntropyThreshold(1);

      assertThatThrownBy(() -> loss.forward(logProb, null, batch, Normalizer.tokens(1)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("entropy: is missing, but there is an entropy bonus or an entropy threshold");
    }
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void whatStandsUnderAMaskChangesNothing(Kind kind) {
    ReferenceObjective objective = ReferenceObjective.PPO.withKind(kind);
    ReferenceBatch clean = PolicyBatches.batch(3, 0.3);
    double[] logProb = clean.logProb().clone();
    for (int row = 0; row < logProb.length; row++) {
      logProb[row] = clean.mask()[row] ? logProb[row] : Double.NaN;
    }

    Result masked = PolicyLossCase.of(objective, clean.withLogProb(logProb)).fromLogProbs();

    Result expected = PolicyLossCase.of(objective, clean).fromLogProbs();
    assertThat(masked.loss).isEqualTo(expected.loss);
    assertThat(masked.dLogProb).isEqualTo(expected.dLogProb);
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void logRatiosOfAHundredGiveNoNan(Kind kind) {
    ReferenceObjective objective = ReferenceObjective.PPO.withKind(kind);
    ReferenceBatch batch = PolicyBatches.batch(4, 100).withMask(null);

    Result result = PolicyLossCase.of(objective, batch).fromLogProbs();

    assertThat(result.loss).isFinite();
    for (double gradient : result.dLogProb) {
      assertThat(gradient).isFinite();
    }
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void aBatchThatIsMaskedThroughoutHasLossZero(Kind kind) {
    ReferenceObjective objective = ReferenceObjective.PPO.withKind(kind);
    ReferenceBatch batch = PolicyBatches.batch(5, 0.3).withMask(new boolean[PolicyBatches.ROWS]);

    Result result = PolicyLossCase.of(objective, batch).fromLogProbs();

    assertThat(result.loss).isZero();
    assertThat(result.dLogProb).containsOnly(0);
  }

  @ParameterizedTest
  @EnumSource(value = Kind.class, mode = Mode.EXCLUDE, names = "REGRESSION")
  void theOnPolicyGradientIsThatOfReinforce(Kind kind) {
    ReferenceBatch onPolicy = PolicyBatches.batch(6, 0).withMask(null);
    // A weight of one, so that weights of a sequence are one too.
    ReferenceBatch batch =
        new ReferenceBatch(
            onPolicy.offsets(),
            onPolicy.logProb(),
            onPolicy.entropy(),
            onPolicy.logProb(),
            null,
            onPolicy.advantages(),
            null,
            null,
            1,
            null,
            1,
            null);

    double[] gradient =
        PolicyLossCase.of(ReferenceObjective.PPO.withKind(kind), batch).fromLogProbs().dLogProb;

    for (int row = 0; row < gradient.length; row++) {
      assertThat(gradient[row]).isCloseTo(-batch.advantages()[row], within(1e-6));
    }
  }

  @Test
  void aRegressionPullsTheImpliedRewardTowardsTheAdvantage() {
    try (Floats logProb = Floats.copyOf(-1, -2, -3);
        Floats old = Floats.copyOf(-1.5f, -2.25f, -2.5f);
        Floats advantages = Floats.copyOf(2, -1);
        Longs offsets = Longs.copyOf(0, 2, 3);
        Longs tokens = Longs.copyOf(2, 1)) {
      TokenBatch batch =
          TokenBatch.ofOffsets(offsets).withOld(old).withSequenceAdvantages(advantages);

      LossResult result =
          PolicyLoss.sppo().forwardBackward(logProb, null, batch, Normalizer.sequences(2, tokens));

      // Residuals 0.75 - 2 and -0.5 + 1.
      assertThat(result.loss()).isEqualTo((1.25 * 1.25 + 0.5 * 0.5) / 2);
      assertThat(result.logProbGradient().toArray()).containsExactly(-1.25f, -1.25f, 0.5f);
      result.close();
    }
  }

  private static org.assertj.core.data.Offset<Double> within(double bound) {
    return org.assertj.core.data.Offset.offset(bound);
  }
}
