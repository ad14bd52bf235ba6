package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.Storage;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Losses, derivatives and metrics of policy_loss, both entries, against the f64 reference. */
class PolicyLossAccuracyTest {
  static Stream<ReferenceObjective> objectives() {
    return Stream.of(
        PPO,
        PPO.withClip(0.2, 0.28),
        PPO.withClip(0.2, 0.28).withDualClip(1.4),
        PPO.withRatioMax(1.5),
        PPO.withoutClip(),
        PPO.withMaxLogRatio(0.25),
        PPO.withSequenceRatio(false),
        PPO.withClip(0.03, 0.04).withSequenceRatio(true),
        PPO.withClip(0.03, 0.04).withSequenceRatio(true).withDualClip(1.1),
        PPO.withSequenceRatio(false).withSequenceMaxLogRatio(0.01),
        PPO.withSequenceRatio(true).withSequenceMaxLogRatio(0.01),
        PPO.withEntropyBonus(0.02),
        PPO.withKl(Estimator.K1, Gradient.PATHWISE, 0.1),
        PPO.withKl(Estimator.ABS, Gradient.PATHWISE, 0.1),
        PPO.withKl(Estimator.K2, Gradient.PATHWISE, 0.1),
        PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1),
        PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1).withK3Max(0.05),
        PPO.withKl(Estimator.K3, Gradient.STRAIGHT_THROUGH_K2, 0.1),
        PPO.withKl(Estimator.K3, Gradient.IMPORTANCE_WEIGHTED, 0.1),
        PPO.withKl(Estimator.K1, Gradient.IMPORTANCE_WEIGHTED, 0.1),
        PPO.withKl(Estimator.K2, Gradient.DETACHED, 0.1),
        PPO.withSequenceRatio(true)
            .withKl(Estimator.K3, Gradient.PATHWISE, 0.3)
            .withEntropyBonus(0.1));
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void logProbsGiveTheReferencesLossDerivativesAndMetrics(ReferenceObjective objective) {
    for (long seed = 0; seed < 5; seed++) {
      ReferenceBatch batch = PolicyBatches.batch(seed, 0.3);
      new PolicyLossAccuracy(PolicyLossCase.of(objective, batch)).assertFromLogProbs();
      new PolicyLossAccuracy(new PolicyLossCase(objective, batch, true, 0)).assertFromLogProbs();
    }
  }

  static Stream<Arguments> objectivesAndTypes() {
    return objectives().flatMap(o -> Stream.of(Storage.values()).map(s -> Arguments.of(o, s)));
  }

  @ParameterizedTest
  @MethodSource("objectivesAndTypes")
  void logitsGiveTheReferencesLossGradientAndMetrics(
      ReferenceObjective objective, Storage storage) {
    for (int vocabulary : new int[] {17, 1000, 4100}) {
      ReferenceSoftmax softmax = ReferenceSoftmax.at(0.9f);
      Logits logits = Logits.normal(storage, PolicyBatches.ROWS, vocabulary, 3, 0, vocabulary);
      long[] targets = Noise.of(5).indices(PolicyBatches.ROWS, vocabulary);
      ReferenceBatch batch =
          PolicyBatches.onLogits(PolicyBatches.batch(3, 0.3), logits, targets, softmax, 4);
      new PolicyLossAccuracy(PolicyLossCase.of(objective, batch))
          .assertFromLogits(logits, targets, softmax);
    }
  }

  @Test
  void withoutOldLogProbsTheRatioIsOneAndTheGradientIsTheAdvantages() {
    ReferenceBatch batch = PolicyBatches.batch(1, 0.3);
    ReferenceBatch onPolicy =
        new ReferenceBatch(
            batch.offsets(),
            batch.logProb(),
            batch.entropy(),
            null,
            batch.ref(),
            batch.advantages(),
            null,
            batch.mask(),
            5,
            null,
            1,
            null);
    new PolicyLossAccuracy(PolicyLossCase.of(PPO, onPolicy)).assertFromLogProbs();
  }

  @Test
  void advantagesMayDifferFromTokenToToken() {
    ReferenceBatch batch = PolicyBatches.batch(1, 0.3);
    double[] advantages = Storage.widen(Noise.of(2).normals(PolicyBatches.ROWS, 1));
    ReferenceBatch perToken =
        new ReferenceBatch(
            batch.offsets(),
            batch.logProb(),
            batch.entropy(),
            batch.old(),
            batch.ref(),
            advantages,
            batch.weights(),
            batch.mask(),
            5,
            null,
            1,
            null);
    new PolicyLossAccuracy(PolicyLossCase.of(PPO, perToken)).assertFromLogProbs();
    new PolicyLossAccuracy(PolicyLossCase.of(PPO.withSequenceRatio(false), perToken))
        .assertFromLogProbs();
    new PolicyLossAccuracy(PolicyLossCase.of(PPO.withSequenceRatio(true), perToken))
        .assertFromLogProbs();
  }
}
