package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.SameBits;
import dev.polka.reference.Storage;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * N13: every operation gives the same bits for the log-prob of the same row, target and options.
 */
class N13OneLogProbTest {
  private static final int ROWS = PolicyBatches.ROWS;
  private static final float TEMPERATURE = 0.8f;
  private static final int[] VOCABULARIES = {2, 17, 4097, 9001};

  private static Logits logits(Storage storage, int cols) {
    return Logits.normal(storage, ROWS, cols, 3, 0, 41);
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void extrasDoNotChangeTheLogProb(Storage storage) {
    for (int cols : VOCABULARIES) {
      Targets targets = Targets.of(Longs.copyOf(Noise.of(42).indices(ROWS, cols)));
      LogProb plain = LogProb.atTemperature(TEMPERATURE);
      LogProb[] variants = {
        plain.withEntropy(),
        plain.withSumP2(),
        plain.withSelfCertainty(),
        plain.withTopProbabilities(),
        plain.withSecondTemperature(2),
        plain.withEntropy().withSumP2().withSelfCertainty().withTopProbabilities().withThreads(1)
      };
      try (Matrix matrix = logits(storage, cols).matrix();
          LogProbs expected = plain.forward(matrix, targets)) {
        for (LogProb variant : variants) {
          try (LogProbs out = variant.forward(matrix, targets)) {
            assertThat(out.logProb().toArray()).isEqualTo(expected.logProb().toArray());
            assertThat(out.logSum().toArray()).isEqualTo(expected.logSum().toArray());
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void thePolicyLossSeesTheLogProbsOfLogProb(Storage storage) {
    for (int cols : VOCABULARIES) {
      long[] ids = Noise.of(43).indices(ROWS, cols);
      try (Matrix matrix = logits(storage, cols).matrix();
          LogProbs lp =
              LogProb.atTemperature(TEMPERATURE).forward(matrix, Targets.of(Longs.copyOf(ids)));
          LossResult loss =
              PolicyLoss.ppo()
                  .withTemperature(TEMPERATURE)
                  .withEntropyBonus(0.1)
                  .forwardBackward(matrix, batch(ids, null), Normalizer.tokens(ROWS))) {
        assertThat(loss.logProb().toArray()).isEqualTo(lp.logProb().toArray());
      }
    }
  }

  private static TokenBatch batch(long[] ids, Floats old) {
    TokenBatch batch =
        TokenBatch.of(Longs.copyOf(ids), Longs.copyOf(PolicyBatches.OFFSETS))
            .withTokenAdvantages(Floats.copyOf(Noise.of(44).normals(ROWS, 1)));
    return old == null ? batch : batch.withOld(old);
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void oldLogProbsOfTheSameLogitsGiveARatioOfExactlyOne(Storage storage) {
    for (int cols : VOCABULARIES) {
      long[] ids = Noise.of(45).indices(ROWS, cols);
      try (Matrix matrix = logits(storage, cols).matrix();
          LogProbs old =
              LogProb.atTemperature(TEMPERATURE)
                  .withEntropy()
                  .forward(matrix, Targets.of(Longs.copyOf(ids)))) {
        for (RatioLevel level : RatioLevel.values()) {
          try (LossResult loss =
              PolicyLoss.ppo()
                  .withClip(1e-7f, 1e-7f)
                  .withRatio(level)
                  .withTemperature(TEMPERATURE)
                  .forwardBackward(matrix, batch(ids, old.logProb()), Normalizer.tokens(ROWS))) {
            PolicyLossMetrics m = loss.metrics();
            assertThat(m.ratioMin()).isEqualTo(1);
            assertThat(m.ratioMax()).isEqualTo(1);
            assertThat(m.clipFraction()).isZero();
            assertThat(m.approxKl()).isZero();
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void bothEntriesOfThePolicyLossGiveTheSameLossAndMetrics(Storage storage) {
    ReferenceObjective objective = PPO.withEntropyBonus(0.05);
    for (int cols : VOCABULARIES) {
      Logits logits = logits(storage, cols);
      long[] ids = Noise.of(46).indices(ROWS, cols);
      ReferenceBatch batch = PolicyBatches.batch(47, 0.3);
      try (Matrix matrix = logits.matrix();
          LogProbs lp =
              LogProb.plain().withEntropy().forward(matrix, Targets.of(Longs.copyOf(ids)))) {
        ReferenceBatch held =
            batch
                .withLogProb(Storage.widen(lp.logProb().toArray()))
                .withEntropy(Storage.widen(lp.entropy().toArray()));
        var fromLogProbs = PolicyLossCase.of(objective, held).fromLogProbs();
        var fromLogits = PolicyLossCase.of(objective, held).fromLogits(logits, ids, 1).result();
        fromLogProbs.dLogProb = null;
        fromLogProbs.dEntropy = null;
        SameBits.assertSame(fromLogits, fromLogProbs);
      }
    }
  }
}
