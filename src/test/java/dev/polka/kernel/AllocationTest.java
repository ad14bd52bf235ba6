package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.memory.Placement;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;

/** Every verb that writes into a caller's result allocates nothing on the Java heap once warm. */
class AllocationTest {
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
  private static final int CALLS = 10_000;

  private static final Matrix LOGITS =
      Matrix.copyOf(DType.F32, 4, 3, 0, 1, 2, 2, 1, 0, 1, 1, 1, 0, 2, 0);
  private static final Matrix OTHER =
      Matrix.copyOf(DType.F32, 4, 3, 1, 1, 2, 0, 1, 0, 0, 1, 2, 0, 0, 0);
  private static final Targets TARGETS =
      Targets.of(Longs.copyOf(0, 1, 2, 0)).withMask(Bytes.copyOf(true, true, false, true));
  private static final Longs OFFSETS = Longs.copyOf(0, 2, 4);
  private static final Floats ROWS = Floats.copyOf(-1, -2, -1.5f, -0.5f);
  private static final TokenBatch BATCH =
      TokenBatch.of(TARGETS, OFFSETS)
          .withOld(ROWS)
          .withReference(ROWS)
          .withWeights(Floats.copyOf(1, 1, 1, 1))
          .withAdvantages(Floats.copyOf(1, -1));
  private static final Normalizer SEQUENCES = Normalizer.sequences(2, Longs.copyOf(2, 1));

  /**
   * The bytes that 10,000 calls allocate. The JVM allocates a few hundred bytes on the thread when
   * it recompiles a method, at any time; so this is the least of several windows.
   */
  private static long allocatedBy(Runnable call) {
    long least = Long.MAX_VALUE;
    for (int window = 0; window < 6; window++) {
      long before = THREADS.getCurrentThreadAllocatedBytes();
      for (int i = 0; i < CALLS; i++) {
        call.run();
      }
      least = Math.min(least, THREADS.getCurrentThreadAllocatedBytes() - before);
    }
    return least;
  }

  @Test
  void theMeasurementSeesOneSmallObjectPerCall() {
    Object[] sink = new Object[1];

    assertThat(allocatedBy(() -> sink[0] = new Object())).isGreaterThanOrEqualTo(16L * CALLS);
  }

  @Test
  void groupAdvantageAllocatesNothing() {
    Groups groups = Groups.ofSize(2);
    Groups ragged = Groups.ofOffsets(OFFSETS);
    Doubles rewards = Doubles.copyOf(1, 2, 3, 5);
    try (var out = GroupAdvantageResult.allocate(Placement.CPU, DType.F64, 4, 2)) {
      GroupAdvantage grpo = GroupAdvantage.grpo();

      assertThat(allocatedBy(() -> grpo.forward(rewards, groups, out))).isZero();
      assertThat(allocatedBy(() -> grpo.forward(ROWS, ragged, out))).isZero();
    }
  }

  @Test
  void weightedGroupAdvantageAllocatesNothing() {
    Groups weighted = Groups.ofSize(2).withWeights(Doubles.copyOf(1, 2, 3, 4));
    try (var out = GroupAdvantageResult.allocate(Placement.CPU, DType.F64, 4, 2)) {
      GroupAdvantage opo = GroupAdvantage.opo();

      assertThat(allocatedBy(() -> opo.forward(ROWS, weighted, out))).isZero();
    }
  }

  @Test
  void tokenReturnsAllocateNothing() {
    TokenReturnsInput input =
        TokenReturnsInput.of(ROWS, OFFSETS).withMask(Bytes.copyOf(true, true, false, true));
    TokenReturnsInput withValues = input.withValues(ROWS);
    TokenReturns discounted = TokenReturns.discounted(1);
    TokenReturns gae = TokenReturns.gae(1, 0.95).withLengthAdaptiveLambda(0.05);
    try (TokenReturnsResult out = TokenReturnsResult.allocate(ROWS)) {
      assertThat(allocatedBy(() -> discounted.forward(input, out))).isZero();
      assertThat(allocatedBy(() -> gae.forward(withValues, out))).isZero();
    }
  }

  @Test
  void segmentAllocatesNothing() {
    Segments segments = Segments.of(OFFSETS).withMask(Bytes.copyOf(true, true, false, true));
    try (SegmentResult out = SegmentResult.allocate(Placement.CPU, 2, 4)) {
      assertThat(allocatedBy(() -> Segment.logMeanExp().forward(ROWS, segments, out))).isZero();
    }
  }

  @Test
  void tokenKlAllocatesNothing() {
    TokenKl k3 = TokenKl.of(KlEstimator.K3);
    TokenKlInput input =
        TokenKlInput.of(ROWS, ROWS).withOld(ROWS).withMask(Bytes.copyOf(true, true, true, true));
    try (TokenKlResult out = TokenKlResult.allocate(ROWS)) {
      assertThat(allocatedBy(() -> k3.forward(input, out))).isZero();
      assertThat(allocatedBy(() -> k3.forwardBackward(input, out))).isZero();
    }
  }

  @Test
  void logProbAllocatesNothing() {
    KeepMask keep = KeepMask.copyOf(new boolean[4][3]);
    LogProb operation =
        LogProb.plain()
            .withRowTemperature(Floats.copyOf(1, 2, 1, 1))
            .withKeepMask(keep)
            .withEntropy()
            .withSumP2()
            .withSelfCertainty()
            .withTopProbabilities()
            .withSecondTemperature(2);
    LogProbGradients upstream = LogProbGradients.of(ROWS).withEntropy(ROWS).withSelfCertainty(ROWS);
    try (LogProbs out = operation.allocate(LOGITS);
        Matrix gradient = Matrix.allocate(DType.F32, 4, 3);
        Matrix scratch = Matrix.copyOf(DType.F32, 4, 3, LOGITS.toArray())) {
      assertThat(allocatedBy(() -> operation.forward(LOGITS, TARGETS, out))).isZero();
      assertThat(allocatedBy(() -> operation.backward(LOGITS, TARGETS, out, upstream, gradient)))
          .isZero();
      assertThat(allocatedBy(() -> operation.backwardInPlace(scratch, TARGETS, out, upstream)))
          .isZero();
    }
  }

  @Test
  void divergenceAllocatesNothing() {
    Divergence jsd = Divergence.jsd(0.5f).withTeacherTemperature(2);
    Rows rows = Rows.all().withMask(TARGETS.mask()).withWeight(ROWS);
    Normalizer normalizer = Normalizer.tokens(3);
    try (DivergenceResult out = DivergenceResult.allocate(LOGITS);
        Matrix scratch = Matrix.copyOf(DType.F32, 4, 3, LOGITS.toArray())) {
      assertThat(allocatedBy(() -> jsd.forward(LOGITS, OTHER, rows, normalizer, out))).isZero();
      assertThat(allocatedBy(() -> jsd.forwardBackward(LOGITS, OTHER, rows, normalizer, out)))
          .isZero();
      assertThat(
              allocatedBy(() -> jsd.forwardBackwardInPlace(scratch, OTHER, rows, normalizer, out)))
          .isZero();
      assertThat(allocatedBy(out::loss)).isZero();
    }
  }

  @Test
  void policyLossAllocatesNothing() {
    PolicyLoss token = PolicyLoss.dapo().withKl(KlEstimator.K3, 0.1).withEntropyBonus(0.01);
    PolicyLoss sequence = PolicyLoss.gspo().withKl(KlEstimator.K3, 0.1);
    try (LossResult out = LossResult.allocate(LOGITS);
        Matrix scratch = Matrix.copyOf(DType.F32, 4, 3, LOGITS.toArray())) {
      assertThat(allocatedBy(() -> token.forward(LOGITS, BATCH, SEQUENCES, out))).isZero();
      assertThat(allocatedBy(() -> token.forwardBackward(LOGITS, BATCH, SEQUENCES, out))).isZero();
      assertThat(allocatedBy(() -> sequence.forwardBackward(LOGITS, BATCH, SEQUENCES, out)))
          .isZero();
      assertThat(allocatedBy(() -> token.forwardBackwardInPlace(scratch, BATCH, SEQUENCES, out)))
          .isZero();
      assertThat(allocatedBy(out::loss)).isZero();
    }
  }

  @Test
  void policyLossFromLogProbsAllocatesNothing() {
    PolicyLoss loss = PolicyLoss.dapo().withKl(KlEstimator.K3, 0.1).withEntropyBonus(0.01);
    try (LossResult out = LossResult.allocate(ROWS)) {
      assertThat(allocatedBy(() -> loss.forwardBackward(ROWS, ROWS, BATCH, SEQUENCES, out)))
          .isZero();
    }
  }

  @Test
  void valueLossAllocatesNothing() {
    ValueLoss loss = ValueLoss.huber(1).withClip(0.5f);
    ValueBatch batch = ValueBatch.of(Floats.copyOf(1, 2, 3, 4), OFFSETS).withOld(ROWS);
    try (ValueLossResult out = ValueLossResult.allocate(4)) {
      assertThat(allocatedBy(() -> loss.forwardBackward(ROWS, batch, SEQUENCES, out))).isZero();
      assertThat(allocatedBy(out::loss)).isZero();
    }
  }

  @Test
  void preferenceLossAllocatesNothing() {
    Preferences pairs = Preferences.pairs(Doubles.copyOf(-1, -2, -3, -4));
    Normalizer normalizer = Normalizer.constant(2);
    PreferenceLoss loss = PreferenceLoss.dpo(0.1);
    try (PreferenceLossResult out = PreferenceLossResult.allocate(pairs)) {
      assertThat(allocatedBy(() -> loss.forwardBackward(pairs, normalizer, out))).isZero();
      assertThat(allocatedBy(out::loss)).isZero();
    }
  }
}
