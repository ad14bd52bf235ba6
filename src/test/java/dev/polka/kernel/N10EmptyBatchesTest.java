package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Doubles;
import dev.polka.memory.Longs;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** N10: nothing counts, so the loss is 0 and gradients are 0, never NaN. */
class N10EmptyBatchesTest {
  private static final float[] ONES = {1, 1, 1};

  static Stream<ReferenceObjective> objectives() {
    ReferenceObjective full =
        PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1).withEntropyBonus(0.1);
    return Stream.of(full, full.withSequenceRatio(true), full.withSequenceRatio(false));
  }

  static Stream<ReferenceDivergence> divergences() {
    return DivergenceAccuracyTest.kinds();
  }

  @Test
  void noRowsGiveNoLogProbs() {
    LogProbCase c = LogProbCase.of(Logits.normal(0, 100, 1), PLAIN);
    assertThat(c.forward().logProb()).isEmpty();
    assertThat(c.backward(new float[0], null, null)).isEmpty();
  }

  @Test
  void allMaskedRowsGiveZeroLogProbsAndGradients() {
    LogProbCase c =
        LogProbCase.of(Logits.normal(3, 5000, 1), PLAIN, 1, -100, 3).withMask(false, true, false);
    assertThat(c.forward().logProb()).containsOnly(0);
    assertThat(c.forward().lse()).containsOnly(0);
    assertThat(c.backward(ONES, ONES, ONES)).containsOnly(0);
  }

  @ParameterizedTest
  @MethodSource("divergences")
  void noRowsGiveNoDivergence(ReferenceDivergence kind) {
    Logits none = Logits.normal(0, 100, 1);
    DivergenceCase.Outputs out = DivergenceCase.of(kind, none, none, PLAIN).run();
    assertThat(out.loss()).isZero();
    assertThat(out.value()).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("divergences")
  void allMaskedRowsGiveZeroDivergenceAndGradient(ReferenceDivergence kind) {
    DivergenceCase.Outputs out =
        DivergenceCase.of(kind, Logits.normal(3, 5000, 1), Logits.normal(3, 5000, 2), PLAIN)
            .withMask(false, false, false)
            .run();
    assertThat(out.loss()).isZero();
    assertThat(out.value()).containsOnly(0);
    assertThat(out.gradient()).containsOnly(0);
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void allMaskedTokensGiveLossZeroAndZeroGradients(ReferenceObjective objective) {
    ReferenceBatch masked = PolicyBatches.batch(1, 0.3).withMask(new boolean[PolicyBatches.ROWS]);
    for (double divisor : new double[] {0, 26}) {
      ReferenceBatch batch = masked.withDivisors(divisor, divisor);
      assertNothing(PolicyLossCase.of(objective, batch).fromLogProbs());
      Logits logits = Logits.normal(PolicyBatches.ROWS, 300, 1);
      PolicyLossCase.Fused fused =
          PolicyLossCase.of(objective, batch)
              .fromLogits(logits, Noise.of(1).indices(PolicyBatches.ROWS, 300), 1);
      assertNothing(fused.result());
      assertThat(fused.gradient()).containsOnly(0);
    }
  }

  private static void assertNothing(Result r) {
    assertThat(r.loss).isZero();
    assertThat(r.tokens).isZero();
    assertThat(r.sequences).isZero();
    assertThat(r.ratioMin).isEqualTo(Double.POSITIVE_INFINITY);
    assertThat(r.ratioMax).isEqualTo(Double.NEGATIVE_INFINITY);
    assertThat(r.firstNonFiniteRow).isEqualTo(-1);
    if (r.dLogProb != null) {
      assertThat(r.dLogProb).containsOnly(0);
      assertThat(Arrays.stream(r.dEntropy).map(Math::abs).max().orElse(0)).isZero();
    }
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void noTokensGiveLossZero(ReferenceObjective objective) {
    double[] none = {};
    for (long[] offsets : new long[][] {{0}, {0, 0, 0}}) {
      ReferenceBatch batch =
          new ReferenceBatch(
              offsets, none, none, none, none, none, null, new boolean[0], 0, null, 0, null);
      assertThat(PolicyLossCase.of(objective, batch).fromLogProbs().loss).isZero();
      assertThat(
              PolicyLossCase.of(objective, batch)
                  .fromLogits(Logits.normal(0, 50, 1), new long[0], 1)
                  .result()
                  .loss)
          .isZero();
    }
  }

  @Test
  void noRewardsGiveNoAdvantages() {
    try (Doubles none = Doubles.copyOf();
        Doubles out =
            GroupAdvantage.grpo().forward(none, Groups.ofOffsets(Longs.copyOf(0, 0, 0)))) {
      assertThat(out.toArray()).isEmpty();
    }
  }
}
