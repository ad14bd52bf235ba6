package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Accuracy;
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
import org.junit.jupiter.params.provider.ValueSource;

/** N9: normalizers are inputs, so a batch may be cut between sequences without changing a thing. */
class N09NormalizersTest {
  static Stream<ReferenceObjective> objectives() {
    ReferenceObjective full =
        PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1).withEntropyBonus(0.01);
    return Stream.of(full, full.withSequenceRatio(true), full.withSequenceRatio(false));
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void microBatchesGiveTheWholeBatchsGradientsBitForBitAndItsSums(ReferenceObjective objective) {
    ReferenceBatch whole = PolicyBatches.batch(11, 0.4);
    Result all = PolicyLossCase.of(objective, whole).fromLogProbs();
    for (int cut = 0; cut < whole.offsets().length; cut++) {
      Result left = PolicyLossCase.of(objective, whole.sequences(0, cut)).fromLogProbs();
      Result right =
          PolicyLossCase.of(objective, whole.sequences(cut, whole.offsets().length - 1))
              .fromLogProbs();
      assertThat(concat(left.dLogProb, right.dLogProb)).isEqualTo(all.dLogProb);
      assertThat(concat(left.dEntropy, right.dEntropy)).isEqualTo(all.dEntropy);
      Accuracy.assertWithin("loss", left.loss + right.loss, all.loss, 1e-12);
      Accuracy.assertWithin("kl", left.kl + right.kl, all.kl, 1e-12);
      assertThat(left.tokens + right.tokens).isEqualTo(all.tokens);
      assertThat(left.clipped + right.clipped).isEqualTo(all.clipped);
      assertThat(Math.min(left.ratioMin, right.ratioMin)).isEqualTo(all.ratioMin);
    }
  }

  private static double[] concat(double[] left, double[] right) {
    return Stream.of(left, right).flatMapToDouble(Arrays::stream).toArray();
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void microBatchesOfLogitsGiveTheSameGradientBitForBit(ReferenceObjective objective) {
    int cols = 700;
    Logits logits = Logits.normal(PolicyBatches.ROWS, cols, 12);
    long[] targets = Noise.of(13).indices(PolicyBatches.ROWS, cols);
    ReferenceBatch whole =
        PolicyBatches.onLogits(PolicyBatches.batch(11, 0.4), logits, targets, PLAIN, 1);
    float[] all = PolicyLossCase.of(objective, whole).fromLogits(logits, targets, 1).gradient();
    for (int cut : new int[] {1, 4, 5}) {
      int row = (int) whole.offsets()[cut];
      float[] right =
          PolicyLossCase.of(objective, whole.sequences(cut, whole.offsets().length - 1))
              .fromLogits(
                  logits.slice(row, PolicyBatches.ROWS),
                  Arrays.copyOfRange(targets, row, PolicyBatches.ROWS),
                  1)
              .gradient();
      assertThat(right).isEqualTo(Arrays.copyOfRange(all, row * cols, all.length));
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {1, 3, 1e6})
  void theDivisorDividesTheLossAndTheGradient(double divisor) {
    DivergenceCase c =
        DivergenceCase.of(
                ReferenceDivergence.reverseKl(),
                Logits.normal(3, 99, 1),
                Logits.normal(3, 99, 2),
                PLAIN)
            .withDivisor(divisor);
    c.assertAll();
  }

  @Test
  void aZeroDivisorGivesLossZeroAndNoGradient() {
    DivergenceCase.Outputs divergence =
        DivergenceCase.of(
                ReferenceDivergence.forwardKl(),
                Logits.normal(3, 99, 1),
                Logits.normal(3, 99, 2),
                PLAIN)
            .withDivisor(0)
            .run();
    assertThat(divergence.loss()).isZero();
    assertThat(divergence.gradient()).containsOnly(0);
    Result policy =
        PolicyLossCase.of(PPO, PolicyBatches.batch(1, 0.3).withDivisors(0, 0)).fromLogProbs();
    assertThat(policy.loss).isZero();
    assertThat(policy.dLogProb).containsOnly(0);
    assertThat(policy.tokens).isEqualTo(26);
  }

  @Test
  void everyNormalizerWeighsTokensAsItsNameSays() {
    ReferenceBatch batch = PolicyBatches.batch(2, 0.3);
    long[] tokens = PolicyBatches.tokenCounts(batch.offsets(), batch.mask());
    double sum = lossWith(batch, Normalizer.none());
    Accuracy.assertWithin("tokens", lossWith(batch, Normalizer.tokens(26)), sum / 26, 1e-12);
    Accuracy.assertWithin("sums", lossWith(batch, Normalizer.sequenceSums(7)), sum / 7, 1e-12);
    Accuracy.assertWithin(
        "constant", lossWith(batch, Normalizer.constant(99.5)), sum / 99.5, 1e-12);
    double means = 0;
    for (int b = 0; b < tokens.length; b++) {
      means += lossWith(batch.sequences(b, b + 1), Normalizer.tokens(Math.max(tokens[b], 1)));
    }
    double sequences =
        lossWith(batch, Normalizer.sequences(7, dev.polka.memory.Longs.copyOf(tokens)));
    Accuracy.assertWithin("sequences", sequences, means / 7, 1e-12);
  }

  private static double lossWith(ReferenceBatch batch, Normalizer normalizer) {
    PolicyLossCase c = PolicyLossCase.of(PPO, batch);
    try (LossResult r =
        c.operation()
            .forward(PolicyLossCase.floats(batch.logProb()), null, c.tokens(), normalizer)) {
      return r.loss();
    }
  }
}
