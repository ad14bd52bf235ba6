package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferencePolicyLoss;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** N12: where peers differ there is an option, and the default is the mathematically right one. */
class N12PeerOptionsTest {
  static Stream<Arguments> presets() {
    return Stream.of(
        Arguments.of(PolicyLoss.ppo(), PPO),
        Arguments.of(PolicyLoss.grpo(), PPO),
        Arguments.of(PolicyLoss.drGrpo(), PPO),
        Arguments.of(PolicyLoss.dapo(), PPO.withClip(0.2, 0.28)),
        Arguments.of(PolicyLoss.gspo(), PPO.withClip(3e-4, 4e-4).withSequenceRatio(true)));
  }

  @ParameterizedTest
  @MethodSource("presets")
  void presetsHaveTheNumbersOfTheirPapers(PolicyLoss preset, ReferenceObjective objective) {
    ReferenceBatch batch = PolicyBatches.batch(1, 0.3);
    PolicyLossCase c = PolicyLossCase.of(objective, batch);
    ReferencePolicyLoss.Result expected = ReferencePolicyLoss.of(objective, batch);
    try (LossResult r =
        preset.forwardBackward(
            PolicyLossCase.floats(batch.logProb()), null, c.tokens(), c.normalizer())) {
      Accuracy.assertLoss("loss", r.loss(), expected.loss, expected.magnitude);
      assertThat(r.metrics().clippedSum()).isEqualTo(expected.clipped);
    }
  }

  /**
   * Expected gradient of a KL estimate over tokens drawn from the policy, beside the gradient of
   * the KL itself: the default mode is unbiased for every estimator, the pathwise one is not.
   */
  @ParameterizedTest
  @EnumSource(Estimator.class)
  void theDefaultKlGradientIsUnbiased(Estimator estimator) {
    Logits policy = Logits.normal(1, 7, 3);
    Logits reference = Logits.normal(1, 7, 4);
    DivergenceCase reverse =
        DivergenceCase.of(
            ReferenceDivergence.reverseKl(), policy, reference, ReferenceSoftmax.PLAIN);
    double[] exact = reverse.divergence().gradient(reverse.studentRow(0), reverse.teacherRow(0));
    KlEstimator kernelEstimator = KlEstimator.valueOf(estimator.name());
    double[] expectation = expectedGradient(reverse, PolicyLoss.ppo().withKl(kernelEstimator, 1));
    for (int j = 0; j < 7; j++) {
      Accuracy.assertWithin("column " + j, expectation[j], exact[j], 1e-6);
    }
    double[] pathwise =
        expectedGradient(
            reverse,
            PolicyLoss.ppo().withKl(kernelEstimator, 1).withKlGradient(KlGradient.PATHWISE));
    boolean unbiased = estimator == Estimator.K2;
    assertThat(Math.abs(pathwise[0] - exact[0]) < 1e-6).isEqualTo(unbiased);
  }

  /** sum_t p_t d loss(t) / d logits, the advantage being 0. */
  private static double[] expectedGradient(DivergenceCase c, PolicyLoss objective) {
    double[] expectation = new double[7];
    for (int token = 0; token < 7; token++) {
      TokenBatch batch =
          TokenBatch.of(Longs.copyOf(token), Longs.copyOf(0, 1))
              .withReference(Floats.copyOf((float) c.teacherRow(0).logProbability(token)))
              .withTokenAdvantages(Floats.copyOf(0));
      try (var logits = c.student().matrix();
          LossResult r = objective.forwardBackward(logits, batch, Normalizer.none())) {
        for (int j = 0; j < 7; j++) {
          expectation[j] += c.studentRow(0).probability(token) * r.gradient().get(0, j);
        }
      }
    }
    return expectation;
  }

  @Test
  void clipFractionsAreGivenByBothDefinitions() {
    // verl counts tokens where the clipped branch is larger; TRL those outside on the losing side.
    ReferenceBatch batch = PolicyBatches.batch(2, 0.5);
    ReferenceObjective twoSided = PPO.withRatioMax(1.3);
    ReferencePolicyLoss.Result expected = ReferencePolicyLoss.of(twoSided, batch);
    ReferencePolicyLoss.Result actual = PolicyLossCase.of(twoSided, batch).fromLogProbs();
    assertThat(actual.clipped).isEqualTo(expected.clipped).isPositive();
    assertThat(actual.clipLow).isEqualTo(expected.clipLow).isPositive();
    assertThat(actual.clipHigh).isEqualTo(expected.clipHigh).isPositive();
  }

  @Test
  void sequenceRatiosCanBeDifferentiatedAsVerlOrAsTrlDoes() {
    ReferenceBatch batch = PolicyBatches.batch(2, 0.1);
    double[] advantages =
        dev.polka.reference.Storage.widen(Noise.of(3).normals(PolicyBatches.ROWS, 1));
    ReferenceBatch perToken = batch.withAdvantages(advantages);
    ReferenceObjective open = PPO.withoutClip();
    double[] verl =
        PolicyLossCase.of(open.withSequenceRatio(false), perToken).fromLogProbs().dLogProb;
    double[] trl =
        PolicyLossCase.of(open.withSequenceRatio(true), perToken).fromLogProbs().dLogProb;
    assertThat(verl).isNotEqualTo(trl);
    assertThat(trl[0]).isEqualTo(trl[1]);
  }

  @Test
  void groupAdvantagePresetsHaveTheNumbersOfTheirPapers() {
    double[] rewards = {1, 0, 0, 3};
    double std = Math.sqrt(2);
    assertThat(advantages(GroupAdvantage.grpo(), rewards)[0]).isEqualTo(0);
    Accuracy.assertWithin(
        "grpo", advantages(GroupAdvantage.grpo(), rewards)[3], 2 / (std + 1e-6), 1e-15);
    Accuracy.assertWithin(
        "trl",
        advantages(GroupAdvantage.grpo().withEpsilon(1e-4, EpsilonPlacement.OUTSIDE), rewards)[3],
        2 / (std + 1e-4),
        1e-15);
    assertThat(advantages(GroupAdvantage.drGrpo(), rewards)).containsExactly(0, -1, -1, 2);
    Accuracy.assertWithin(
        "rloo", advantages(GroupAdvantage.rloo(), rewards)[3], 3 - 1 / 3.0, 1e-15);
  }

  private static double[] advantages(GroupAdvantage operation, double... rewards) {
    try (Doubles in = Doubles.copyOf(rewards);
        Doubles out = operation.forward(in, Groups.ofSize(rewards.length))) {
      return out.toArray();
    }
  }

  @Test
  void jsdFollowsTrlsConventionOfBeta() {
    // beta weighs the teacher: near 0, JSD / beta is the forward KL.
    Logits student = Logits.normal(1, 9, 5);
    Logits teacher = Logits.normal(1, 9, 6);
    double small = 1e-4f;
    double jsd = value(ReferenceDivergence.jsd(small), student, teacher);
    double forward = value(ReferenceDivergence.forwardKl(), student, teacher);
    Accuracy.assertWithin("jsd / beta", jsd / small, forward, 0.1 * forward);
  }

  private static double value(ReferenceDivergence kind, Logits student, Logits teacher) {
    return DivergenceCase.of(kind, student, teacher, ReferenceSoftmax.PLAIN).run().value()[0];
  }

  @Test
  void theRatioIsUnboundedOnRequestAsInTrl() {
    ReferenceBatch batch =
        new ReferenceBatch(
            new long[] {0, 1},
            new double[] {-1},
            null,
            new double[] {-26},
            null,
            new double[] {1},
            null,
            null,
            1,
            null,
            1,
            null);
    ReferenceObjective open = PPO.withoutClip();
    assertThat(PolicyLossCase.of(open, batch).fromLogProbs().dLogProb[0]).isZero();
    assertThat(
            PolicyLossCase.of(open.withMaxLogRatio(Double.POSITIVE_INFINITY), batch)
                .fromLogProbs()
                .dLogProb[0])
        .isLessThan(-7e10);
  }

  @Test
  void theKlTermsGradientModesAreThoseOfThePeers() {
    ReferenceBatch batch = PolicyBatches.batch(4, 0.3);
    for (Gradient mode : Gradient.values()) {
      ReferenceObjective objective = PPO.withKl(Estimator.K3, mode, 0.5);
      new PolicyLossAccuracy(PolicyLossCase.of(objective, batch)).assertFromLogProbs();
    }
  }
}
