package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.SameBits;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Two rows more than 2^32 elements apart. They lie in a mapped file of 17 GB that is all hole but
 * for the pages of these rows, so the test needs neither the memory nor the disk.
 */
class FarRowTest {
  private static final int COLS = 5000;
  private static final long STRIDE = (1L << 32) + 64;
  private static final long[] TARGETS = {17, 4999};

  @TempDir Path directory;
  private Tensor mapping;
  private Matrix far;
  private final Logits logits = Logits.normal(2, COLS, 51);

  @BeforeEach
  void mapTheFile() throws IOException {
    long elements = STRIDE + COLS;
    Path file = directory.resolve("far-rows");
    try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.setLength(4 * elements);
    }
    mapping =
        torch.from_file(
            file.toString(),
            new BoolOptional(true),
            new LongOptional(elements),
            new TensorOptions(torch.ScalarType.Float));
    far =
        Matrix.ofAddress(
            mapping.data_ptr().address(),
            4 * elements,
            DType.F32,
            MatrixLayout.strided(2, COLS, STRIDE));
    fill(far, logits);
  }

  @AfterEach
  void unmap() {
    mapping.close();
  }

  private static void fill(Matrix matrix, Logits logits) {
    for (int r = 0; r < 2; r++) {
      for (int j = 0; j < COLS; j++) {
        matrix.set(r, j, logits.get(r, j));
      }
    }
  }

  private static float[] values(Matrix matrix) {
    float[] values = new float[2 * COLS];
    for (int i = 0; i < values.length; i++) {
      values[i] = matrix.get(i / COLS, i % COLS);
    }
    return values;
  }

  @Test
  void theFarRowIsBeyondThirtyTwoBits() {
    assertThat(far.layout().rowOffset(1)).isGreaterThan(1L << 32);
  }

  @Test
  void logProbReadsTheFarRow() {
    LogProbCase c = LogProbCase.of(logits, PLAIN, TARGETS);
    LogProbCase.Outputs out = c.forward(far);
    c.assertForward(out);
    SameBits.assertSame(out, c.forward());
  }

  @Test
  void logProbWritesTheGradientOfTheFarRow() {
    LogProbCase c = LogProbCase.of(logits, PLAIN, TARGETS);
    float[] up = {1, -2};
    LogProb op = c.operation();
    try (LogProbs saved = op.forward(far, c.kernelTargets())) {
      op.backwardInPlace(far, c.kernelTargets(), saved, LogProbGradients.of(Floats.copyOf(up)));
    }
    SameBits.assertSame("gradient", values(far), c.backward(up, null, null));
  }

  @Test
  void divergenceReadsAndWritesTheFarRow() {
    DivergenceCase c =
        DivergenceCase.of(
            ReferenceDivergence.reverseKl(), logits, Logits.normal(2, COLS, 52), PLAIN);
    try (Matrix teacher = c.teacher().matrix();
        DivergenceResult r =
            c.operation()
                .forwardBackwardInPlace(far, teacher, Rows.all(), Normalizer.constant(1))) {
      assertThat(r.value().toArray()).isEqualTo(c.run().value());
    }
    SameBits.assertSame("gradient", values(far), c.run().gradient());
  }

  @Test
  void policyLossReadsAndWritesTheFarRow() {
    TokenBatch batch =
        TokenBatch.of(Longs.copyOf(TARGETS), Longs.copyOf(0, 2))
            .withSequenceAdvantages(Floats.copyOf(1.5f));
    PolicyLoss op = PolicyLoss.ppo().withEntropyBonus(0.1);
    try (Matrix near = logits.matrix();
        LossResult expected = op.forwardBackward(near, batch, Normalizer.tokens(2));
        LossResult actual = op.forwardBackwardInPlace(far, batch, Normalizer.tokens(2))) {
      assertThat(actual.loss()).isEqualTo(expected.loss());
      SameBits.assertSame("gradient", values(far), expected.gradient().toArray());
    }
  }
}
