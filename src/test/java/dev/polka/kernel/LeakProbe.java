package dev.polka.kernel;

import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.Noise;
import dev.polka.torch.Tensors;
import dev.polka.torch.Torch;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * Runs training steps over every operation and prints by how many bytes the process grew from step
 * 1,000 to step 11,000. With {@code -Dpolka.leak=N} every step loses N bytes.
 */
final class LeakProbe {
  private static final int ROWS = 6;
  private static final int COLS = 257;
  private static final int LOST = Integer.getInteger("polka.leak", 0);

  private final float[] values = Noise.of(1).normals(ROWS * COLS, 1);
  private final long[] ids = Noise.of(2).indices(ROWS, COLS);
  private final PolicyLoss objective =
      PolicyLoss.dapo().withKl(KlEstimator.K3, 0.1).withEntropyBonus(0.01);

  public static void main(String[] args) throws Exception {
    LeakProbe probe = new LeakProbe();
    probe.steps(1_000);
    long warm = settled();
    probe.steps(10_000);
    System.out.println("grew " + (settled() - warm));
  }

  /** Nothing that only waits for the collector counts. */
  private static long settled() throws Exception {
    for (int i = 0; i < 3; i++) {
      System.gc();
      Thread.sleep(50);
    }
    return ResidentMemory.bytes();
  }

  private void steps(int n) {
    for (int i = 0; i < n; i++) {
      kernels();
      libtorch();
      lose();
    }
  }

  private static void lose() {
    if (LOST > 0) {
      Pointer lost = Pointer.malloc(LOST);
      Pointer.memset(new BytePointer(lost), 1, LOST);
    }
  }

  private void kernels() {
    try (Matrix logits = Matrix.copyOf(dev.polka.memory.DType.F32, ROWS, COLS, values);
        Longs target = Longs.copyOf(ids);
        Longs offsets = Longs.copyOf(0, 2, 6);
        Floats rewards = Floats.copyOf(1, 0);
        Floats advantages = GroupAdvantage.grpo().forward(rewards, Groups.ofSize(2));
        LogProbs old =
            LogProb.plain().withEntropy().withSelfCertainty().forward(logits, Targets.of(target));
        TokenKlResult kl =
            TokenKl.of(KlEstimator.K3)
                .forwardBackward(TokenKlInput.of(old.logProb(), old.entropy()));
        TokenReturnsResult returns =
            TokenReturns.gae(1, 0.95)
                .forward(TokenReturnsInput.of(kl.kl(), offsets).withValues(old.logProb()));
        SegmentResult sums = Segment.sum().forward(returns.returns(), Segments.of(offsets));
        DivergenceResult divergence =
            Divergence.jsd(0.5f).forwardBackward(logits, logits, Rows.all(), Normalizer.none());
        LossResult loss =
            objective.forwardBackward(
                logits, batch(target, offsets, old, advantages), Normalizer.tokens(ROWS));
        Matrix gradient =
            LogProb.plain()
                .backward(logits, Targets.of(target), old, LogProbGradients.of(kl.gradient()))) {
      double results = loss.loss() + divergence.loss() + gradient.get(0, 0);
      require(Double.isFinite(results + sums.perSegment().get(0)));
    }
  }

  private static TokenBatch batch(Longs target, Longs offsets, LogProbs old, Floats advantages) {
    return TokenBatch.of(target, offsets)
        .withOld(old.logProb())
        .withReference(old.logProb())
        .withSequenceAdvantages(advantages);
  }

  /** One step of a linear model, its logits' gradient carried on by libtorch. */
  private void libtorch() {
    try (PointerScope scope = new PointerScope()) {
      Tensor weight = Tensors.of(values, ROWS, COLS).requires_grad_(true);
      Tensor logits = weight.mul(weight);
      TokenBatch batch =
          TokenBatch.of(Torch.longs(Tensors.of(ids)), Torch.longs(Tensors.of(new long[] {0, 2, 6})))
              .withSequenceAdvantages(Torch.floats(Tensors.of(new float[] {1, -1})));
      try (LossResult loss =
          PolicyLoss.ppo().forwardBackward(Torch.matrix(logits), batch, Normalizer.tokens(ROWS))) {
        Torch.backward(logits, loss.gradient());
        require(Double.isFinite(loss.loss()));
      }
    }
  }

  private static void require(boolean condition) {
    if (!condition) {
      throw new IllegalStateException("a step went wrong");
    }
  }
}
