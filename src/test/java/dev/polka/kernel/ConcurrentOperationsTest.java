package dev.polka.kernel;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceGroupAdvantage;
import dev.polka.reference.ReferenceGroupAdvantage.Scale;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.SameBits;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Eight callers at once, each through every operation and each call with threads of its own: every
 * result has the bits of the sequential one.
 */
class ConcurrentOperationsTest {
  private static final int CALLERS = 8;
  private static final int ROUNDS = 3;

  /** All that one caller computes. */
  private record Everything(
      LogProbCase.Outputs logProb,
      float[] gradient,
      DivergenceCase.Outputs divergence,
      PolicyLossCase.Fused policy,
      TokenKlCase.Outputs tokenKl,
      double[] advantages) {}

  /** Rows so long that the large operations are worth several threads, however threads wait. */
  private record Inputs(int caller, Logits logProb, Logits student, Logits teacher, Logits policy) {
    static Inputs of(int caller) {
      int cols = 180_000 + 700 * caller;
      return new Inputs(
          caller,
          Logits.normal(3, 2 * cols, caller),
          Logits.normal(2, cols, caller),
          Logits.normal(2, cols, ~caller),
          Logits.normal(PolicyBatches.ROWS, 900, caller));
    }
  }

  private static Everything compute(Inputs inputs, int threads) {
    int caller = inputs.caller;
    long[] targets = Noise.of(caller).indices(PolicyBatches.ROWS, 900);
    ReferenceSoftmax softmax = ReferenceSoftmax.at(0.8f);
    LogProbCase logProb = LogProbCase.of(inputs.logProb, softmax, 1, 2, 3);
    ReferenceBatch batch = PolicyBatches.batch(caller, 0.3);
    ReferenceObjective objective =
        ReferenceObjective.PPO.withSequenceRatio(true).withEntropyBonus(0.1);
    ReferenceGroupAdvantage advantage =
        new ReferenceGroupAdvantage(false, Scale.UNBIASED, 1e-6, false, false);
    float[] up = {1, 2, 3};
    return new Everything(
        logProb.withThreads(threads).forward(),
        logProb.withThreads(threads).backward(up, up, up),
        DivergenceCase.of(ReferenceDivergence.jsd(0.5), inputs.student, inputs.teacher, softmax)
            .withThreads(threads)
            .run(),
        PolicyLossCase.of(objective, batch)
            .withThreads(threads)
            .fromLogits(inputs.policy, targets, 0.8f),
        TokenKlCase.of(
                ReferenceTokenKl.of(Estimator.K3, Gradient.PATHWISE),
                Noise.of(caller).uniforms(500, -3, 0),
                Noise.of(~caller).uniforms(500, -3, 0))
            .run(),
        new GroupAdvantageCase(
                advantage, Noise.of(caller).doubles(64, -1, 1), new long[] {0, 8, 20, 64})
            .runF64());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4})
  void everyCallerGetsTheSequentialBits(int threads) throws Exception {
    List<Inputs> inputs = new ArrayList<>();
    List<Everything> sequential = new ArrayList<>();
    for (int caller = 0; caller < CALLERS; caller++) {
      inputs.add(Inputs.of(caller));
      sequential.add(compute(inputs.get(caller), 1));
    }
    ExecutorService callers = Executors.newFixedThreadPool(CALLERS);
    CyclicBarrier together = new CyclicBarrier(CALLERS);
    List<Future<?>> futures = new ArrayList<>();
    for (int caller = 0; caller < CALLERS; caller++) {
      int id = caller;
      futures.add(
          callers.submit(
              () -> {
                for (int round = 0; round < ROUNDS; round++) {
                  together.await(1, TimeUnit.MINUTES);
                  SameBits.assertSame(compute(inputs.get(id), threads), sequential.get(id));
                }
                return null;
              }));
    }
    for (Future<?> future : futures) {
      future.get(2, TimeUnit.MINUTES);
    }
    callers.shutdown();
  }
}
