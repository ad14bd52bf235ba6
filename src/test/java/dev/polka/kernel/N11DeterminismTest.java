package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.SameBits;
import dev.polka.reference.Storage;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** N11: the bits of a row depend on the row alone: not on threads, neighbours, order or address. */
class N11DeterminismTest {
  private static final ReferenceSoftmax SOFTMAX = ReferenceSoftmax.at(0.7f);

  /**
   * Few long rows are cut into tiles, many rows are shared out whole: both are long enough here for
   * three threads even where threads sleep while they wait, and a thread needs 2 MB.
   */
  @ParameterizedTest
  @ValueSource(ints = {1, 3, 64})
  void theNumberOfThreadsChangesNoBitOfLogProb(int rows) {
    int cols = rows > 10 ? 25_000 : 1_600_000 / rows;
    float[] up = Noise.of(1).normals(rows, 1);
    LogProbCase one =
        LogProbCase.of(Logits.normal(rows, cols, 1), SOFTMAX, Noise.of(2).indices(rows, cols))
            .withThreads(1);
    LogProbCase.Outputs expected = one.forward();
    float[] gradient = one.backward(up, up, up);
    for (int threads : new int[] {2, 3, 8}) {
      SameBits.assertSame(one.withThreads(threads).forward(), expected);
      SameBits.assertSame("gradient", one.withThreads(threads).backward(up, up, up), gradient);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 64})
  void theNumberOfThreadsChangesNoBitOfADivergence(int rows) {
    int cols = rows > 10 ? 9000 : 550_000 / rows;
    for (ReferenceDivergence kind :
        new ReferenceDivergence[] {
          ReferenceDivergence.forwardKl(),
          ReferenceDivergence.reverseKl(),
          ReferenceDivergence.jsd(0.3f)
        }) {
      DivergenceCase one =
          DivergenceCase.of(
                  kind, Logits.normal(rows, cols, 1), Logits.normal(rows, cols, 2), SOFTMAX)
              .withThreads(1);
      DivergenceCase.Outputs expected = one.run();
      for (int threads : new int[] {2, 3, 8}) {
        SameBits.assertSame(one.withThreads(threads).run(), expected);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {700, 27_001})
  void theNumberOfThreadsChangesNoBitOfThePolicyLoss(int cols) {
    Logits logits = Logits.normal(PolicyBatches.ROWS, cols, 3);
    long[] targets = Noise.of(4).indices(PolicyBatches.ROWS, cols);
    ReferenceObjective full =
        PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1).withEntropyBonus(0.1);
    ReferenceBatch batch =
        PolicyBatches.onLogits(PolicyBatches.batch(5, 0.3), logits, targets, SOFTMAX, 1);
    for (ReferenceObjective objective :
        new ReferenceObjective[] {full, full.withSequenceRatio(true)}) {
      PolicyLossCase one = PolicyLossCase.of(objective, batch).withThreads(1);
      PolicyLossCase.Fused expected = one.fromLogits(logits, targets, 0.7f);
      for (int threads : new int[] {2, 3, 8}) {
        SameBits.assertSame(one.withThreads(threads).fromLogits(logits, targets, 0.7f), expected);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void aRowAloneHasTheBitsItHasInABatch(Storage storage) {
    int cols = 9001;
    Logits logits = Logits.normal(storage, 6, cols, 3, 0, 5);
    long[] targets = Noise.of(6).indices(6, cols);
    float[] up = {1, -1, 2, 0.5f, 3, -2};
    LogProbCase all = LogProbCase.of(logits, SOFTMAX, targets);
    LogProbCase.Outputs batch = all.forward();
    float[] gradient = all.backward(up, up, up);
    for (int r = 0; r < 6; r++) {
      LogProbCase alone = LogProbCase.of(logits.rows(r), SOFTMAX, targets[r]);
      LogProbCase.Outputs out = alone.forward();
      assertThat(out.logProb()[0]).isEqualTo(batch.logProb()[r]);
      assertThat(out.entropy()[0]).isEqualTo(batch.entropy()[r]);
      assertThat(out.selfCertainty()[0]).isEqualTo(batch.selfCertainty()[r]);
      assertThat(out.secondLogProb()[0]).isEqualTo(batch.secondLogProb()[r]);
      float[] one = {up[r]};
      SameBits.assertSame(
          "gradient",
          alone.backward(one, one, one),
          Arrays.copyOfRange(gradient, r * cols, (r + 1) * cols));
    }
  }

  /** Every alignment of the row's first element, element by element. */
  @ParameterizedTest
  @EnumSource(Storage.class)
  void theAddressOfARowChangesNoBit(Storage storage) {
    int cols = 5001;
    Logits logits = Logits.normal(storage, 1, cols, 3, 0, 7);
    LogProbCase c = LogProbCase.of(logits, SOFTMAX, 4100);
    LogProbCase.Outputs expected = c.forward();
    float[] one = {1};
    float[] gradient = c.backward(one, one, one);
    try (Matrix memory = Matrix.allocate(logits.dtype(), 1, cols + 64)) {
      for (int at = 0; at < 33; at++) {
        Matrix moved =
            Matrix.ofAddress(
                memory.address() + (long) at * logits.dtype().bytes(),
                (long) cols * logits.dtype().bytes(),
                logits.dtype(),
                MatrixLayout.contiguous(1, cols));
        for (int j = 0; j < cols; j++) {
          moved.set(0, j, logits.get(0, j));
        }
        SameBits.assertSame(c.forward(moved), expected);
        SameBits.assertSame("gradient", c.backward(moved, one, one, one), gradient);
      }
    }
  }

  static Stream<SimdTarget> supportedTargets() {
    return Stream.of(SimdTarget.values()).filter(t -> t != SimdTarget.NONE && Backend.supports(t));
  }

  @ParameterizedTest
  @MethodSource("supportedTargets")
  void aForcedTargetRunsIsReportedAndMeetsTheBar(SimdTarget target) {
    int cols = 9001;
    Logits logits = Logits.normal(3, cols, 8);
    LogProbCase c = LogProbCase.of(logits, SOFTMAX, 1, 4096, 9000);
    Backend.forceTarget(target);
    try (Matrix matrix = logits.matrix();
        LogProbs out = c.operation().forward(matrix, c.kernelTargets())) {
      assertThat(out.target()).isEqualTo(target);
      assertThat(Backend.target()).isEqualTo(target);
      c.assertForward();
      c.assertBackward();
      DivergenceCase.of(ReferenceDivergence.jsd(0.5), logits, Logits.normal(3, cols, 9), SOFTMAX)
          .assertAll();
    } finally {
      Backend.forceTarget(SimdTarget.NONE);
    }
  }
}
