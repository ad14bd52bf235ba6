package dev.polka.reference;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.ReferenceObjective.Kind;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Every gradient of the references is the finite difference of the value it belongs to. */
class ReferenceGradientTest {
  private static final int V = 23;
  private static final double STEP = 1e-3;
  private static final double BAR = 1e-9;
  private static final double[] LOGITS = Storage.widen(Noise.of(1).normals(V, 2));
  private static final double[] TEACHER = Storage.widen(Noise.of(2).normals(V, 2));

  static Stream<ReferenceSoftmax> softmaxes() {
    boolean[] keep = Noise.of(3).booleans(V, 0.7);
    return Stream.of(
        ReferenceSoftmax.PLAIN,
        ReferenceSoftmax.at(0.7f),
        ReferenceSoftmax.at(2f).withSoftcap(5),
        ReferenceSoftmax.at(1.3f).withKeep(keep),
        ReferenceSoftmax.PLAIN.withValidVocab(V - 4),
        ReferenceSoftmax.at(0.9f).withSoftcap(3).withKeep(keep).withValidVocab(V - 2));
  }

  @ParameterizedTest
  @MethodSource("softmaxes")
  void logProbEntropyAndSelfCertaintyHaveTheirDerivatives(ReferenceSoftmax softmax) {
    int target = 6;
    ReferenceDistribution row = ReferenceDistribution.of(LOGITS, softmax, target);
    assertDerivative(
        row.gradient(1, 0, 0),
        LOGITS,
        z -> ReferenceDistribution.of(z, softmax, target).logProbability(target));
    assertDerivative(
        row.gradient(0, 1, 0), LOGITS, z -> ReferenceDistribution.of(z, softmax, target).entropy());
    assertDerivative(
        row.gradient(0, 0, 1),
        LOGITS,
        z -> ReferenceDistribution.of(z, softmax, target).selfCertainty());
  }

  static Stream<ReferenceDivergence> divergences() {
    return Stream.of(
        ReferenceDivergence.forwardKl(),
        ReferenceDivergence.reverseKl(),
        ReferenceDivergence.jsd(0.5),
        ReferenceDivergence.jsd(0.1),
        ReferenceDivergence.jsd(0.9),
        ReferenceDivergence.skewForwardKl(0.1),
        ReferenceDivergence.skewReverseKl(0.3),
        ReferenceDivergence.totalVariation(),
        ReferenceDivergence.chiSquared(),
        ReferenceDivergence.generalizedKl(),
        ReferenceDivergence.alpha(0.4),
        ReferenceDivergence.alpha(2));
  }

  @ParameterizedTest
  @MethodSource("divergences")
  void divergencesHaveTheirDerivativesForTheStudent(ReferenceDivergence divergence) {
    ReferenceSoftmax softmax = ReferenceSoftmax.at(1.7f).withSoftcap(8);
    ReferenceDistribution teacher = ReferenceDistribution.of(TEACHER, softmax, -1);
    ReferenceDistribution student = ReferenceDistribution.of(LOGITS, softmax, -1);
    assertDerivative(
        divergence.gradient(student, teacher),
        LOGITS,
        z -> divergence.value(ReferenceDistribution.of(z, softmax, -1), teacher));
  }

  @ParameterizedTest
  @EnumSource(Estimator.class)
  void tokenKlHasItsDerivativeInsideAndOutsideTheBounds(Estimator estimator) {
    for (double d : List.of(-25.0, -19.0, -3.0, -0.4, 0.02, 0.7, 6.0, 19.5, 22.0)) {
      for (Gradient mode : List.of(Gradient.PATHWISE, Gradient.IMPORTANCE_WEIGHTED)) {
        ReferenceTokenKl kl = ReferenceTokenKl.of(estimator, mode).withK3Max(40);
        double old = -1.2;
        assertDerivative(
            new double[] {kl.at(d, 0, old).derivative()},
            new double[] {d},
            x -> kl.at(x[0], 0, old).value());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Estimator.class)
  void straightThroughAndDetachedKlKeepTheValueAndReplaceTheDerivative(Estimator estimator) {
    double value =
        ReferenceTokenKl.of(estimator, Gradient.PATHWISE).at(-1, -1.5, Double.NaN).value();
    ReferenceTokenKl.Term through =
        ReferenceTokenKl.of(estimator, Gradient.STRAIGHT_THROUGH_K2).at(-1, -1.5, Double.NaN);
    ReferenceTokenKl.Term detached =
        ReferenceTokenKl.of(estimator, Gradient.DETACHED).at(-1, -1.5, Double.NaN);
    assertThat(through).isEqualTo(new ReferenceTokenKl.Term(value, 0.5));
    assertThat(detached).isEqualTo(new ReferenceTokenKl.Term(value, 0));
  }

  static Stream<ReferenceObjective> objectives() {
    ReferenceObjective ppo = ReferenceObjective.PPO;
    return Stream.of(
        ppo,
        ppo.withClip(0.2, 0.28),
        ppo.withDualClip(1.4),
        ppo.withRatioMax(1.5),
        ppo.withoutClip(),
        ppo.withMaxLogRatio(0.5),
        ppo.withKl(Estimator.K3, Gradient.PATHWISE, 0.1),
        ppo.withKl(Estimator.K1, Gradient.IMPORTANCE_WEIGHTED, 0.1),
        ppo.withEntropyBonus(0.01),
        ppo.withClip(0.03, 0.04).withSequenceRatio(true),
        ppo.withSequenceRatio(true)
            .withKl(Estimator.K2, Gradient.PATHWISE, 0.3)
            .withEntropyBonus(0.2),
        ppo.withSequenceRatio(false),
        ppo.withAnchor(Estimator.ABS, 0.3).withLikelihood(0.2),
        ppo.withEntropyThreshold(1).withOffPolicyMask(0.1).withAnchor(Estimator.K3, 0.1));
  }

  static Stream<ReferenceObjective> kinds() {
    ReferenceObjective ppo = ReferenceObjective.PPO.withTrust(0.15, 0);
    return Stream.of(Kind.values())
        .flatMap(
            kind ->
                Stream.of(
                    ppo.withKind(kind),
                    ppo.withKind(kind).withSequenceRatio(true),
                    ppo.withKind(kind).withTrust(0.15, 1.2).withSequenceRatio(false)));
  }

  @ParameterizedTest
  @MethodSource({"objectives", "kinds"})
  void policyObjectivesHaveTheirDerivatives(ReferenceObjective objective) {
    ReferenceBatch batch = batch(true);
    ReferenceBatch stopped = batch.withStopped(batch.logProb());
    ReferencePolicyLoss.Result result = ReferencePolicyLoss.of(objective, batch);
    assertDerivative(
        result.dLogProb,
        batch.logProb(),
        x -> ReferencePolicyLoss.of(objective, stopped.withLogProb(x)).loss);
    assertDerivative(
        result.dEntropy,
        batch.entropy(),
        x -> ReferencePolicyLoss.of(objective, batch.withEntropy(x)).loss);
  }

  @Test
  void theDetachedSequenceRatioHasTheMeansGradientWhereTheTermsOfASequenceAreEqual() {
    ReferenceBatch batch = batch(false);
    ReferenceObjective objective = ReferenceObjective.PPO.withClip(0.5, 0.5);
    double[] through = ReferencePolicyLoss.of(objective.withSequenceRatio(true), batch).dLogProb;
    double[] detached = ReferencePolicyLoss.of(objective.withSequenceRatio(false), batch).dLogProb;
    for (int t = 0; t < through.length; t++) {
      Accuracy.assertWithin("row " + t, detached[t], through[t], 1e-15);
    }
  }

  /** Four sequences of 0, 1, 7 and 4 rows, one row masked, log-ratios of about one half. */
  private static ReferenceBatch batch(boolean weighted) {
    Noise noise = Noise.of(4);
    int rows = 12;
    double[] logProb = noise.stream(1).doubles(rows, -3, -0.2);
    double[] old = noise.stream(2).doubles(rows, -3, -0.2);
    double[] ref = noise.stream(3).doubles(rows, -3, -0.2);
    double[] weights = weighted ? noise.stream(4).doubles(rows, 0.3, 1.7) : null;
    boolean[] mask = new boolean[rows];
    java.util.Arrays.fill(mask, true);
    mask[5] = false;
    long[] offsets = {0, 0, 1, 8, 12};
    double[] advantages = ReferenceBatch.perToken(offsets, new double[] {1, -0.8, 1.3, -1.1});
    return new ReferenceBatch(
        offsets,
        logProb,
        noise.stream(5).doubles(rows, 0.1, 2),
        old,
        ref,
        advantages,
        weights,
        mask,
        4,
        new long[] {0, 1, 6, 4},
        11,
        null);
  }

  private static void assertDerivative(
      double[] gradient, double[] at, ToDoubleFunction<double[]> value) {
    double[] expected = FiniteDifference.gradient(value, at, STEP);
    for (int j = 0; j < at.length; j++) {
      double bound = BAR * Math.max(1, Math.abs(value.applyAsDouble(at)));
      Accuracy.assertWithin("component " + j, gradient[j], expected[j], bound);
    }
  }
}
