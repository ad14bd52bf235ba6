package dev.polka.torch;

import static dev.polka.torch.TensorError.assertAsGood;
import static dev.polka.torch.TensorError.assertClose;
import static dev.polka.torch.TensorError.magnitude;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.KeepMask;
import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbGradients;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.Targets;
import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class LinearLogProbTest {
  private static final long[] CHUNKS = {1, 5, 16, 37, 1000};

  private static final double LN_V = Math.log(HeadCase.VOCABULARY);

  private PointerScope scope;

  @BeforeEach
  void open() {
    scope = new PointerScope();
  }

  @AfterEach
  void close() {
    scope.close();
  }

  private static LogProb kernel(HeadCase c) {
    LogProb plain = LogProb.atTemperature(c.temperature).withEntropy();
    return c.softcap == 0 ? plain : plain.withSoftcap(c.softcap);
  }

  private static LinearLogProb operation(HeadCase c, long rowsPerChunk) {
    return LinearLogProb.of(kernel(c)).withMemoryBudget(c.budget(rowsPerChunk));
  }

  private static Tensor tensor(Floats values) {
    return Tensors.of(values.toArray());
  }

  private static Floats upstream(long seed) {
    return Floats.copyOf(HeadCase.normal(new Random(seed), HeadCase.ROWS));
  }

  private static LinearGradients gradients(HeadCase c, long rowsPerChunk, Floats a, Floats b) {
    LinearLogProb operation = operation(c, rowsPerChunk);
    try (LogProbs saved = operation.forward(c.hidden, c.head(), c.targets())) {
      return operation.backward(
          c.hidden, c.head(), c.targets(), saved, LogProbGradients.of(a).withEntropy(b));
    }
  }

  private static HeadCase.Plain backwards(HeadCase c, torch.ScalarType as, Floats a, Floats b) {
    HeadCase.Plain plain = c.new Plain(as);
    plain.logProb().mul(tensor(a)).add(plain.entropy().mul(tensor(b))).sum().backward();
    return plain;
  }

  @Test
  void logProbsAndEntropiesAreAsGoodAsLibtorchs() {
    for (HeadCase c : HeadCase.all()) {
      HeadCase.Plain exact = c.new Plain(torch.ScalarType.Double);
      HeadCase.Plain libtorch = c.new Plain(c.type);
      for (long rowsPerChunk : CHUNKS) {
        try (LogProbs out = operation(c, rowsPerChunk).forward(c.hidden, c.head(), c.targets())) {
          String what = c + " in chunks of " + rowsPerChunk;
          assertAsGood(
              what,
              tensor(out.logProb()),
              libtorch.logProb(),
              exact.logProb(),
              magnitude(exact.logProb()));
          assertAsGood(what, tensor(out.entropy()), libtorch.entropy(), exact.entropy(), LN_V);
        }
      }
    }
  }

  @Test
  void gradientsOfLogProbAndEntropyAreAsGoodAsLibtorchs() {
    try (Floats a = upstream(1);
        Floats b = upstream(2)) {
      for (HeadCase c : HeadCase.all()) {
        HeadCase.Plain exact = backwards(c, torch.ScalarType.Double, a, b);
        HeadCase.Plain libtorch = backwards(c, c.type, a, b);
        for (long rowsPerChunk : CHUNKS) {
          try (LinearGradients g = gradients(c, rowsPerChunk, a, b)) {
            assertAsGood(c + " in chunks of " + rowsPerChunk, g, libtorch, exact);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = torch.ScalarType.class,
      names = {"Float", "BFloat16"})
  void logProbsAreThoseOfLogProbOnTheSameLogitsBitForBit(torch.ScalarType type) {
    HeadCase c = HeadCase.plain(type);
    long rowsPerChunk = 10;
    try (LogProbs ours = operation(c, rowsPerChunk).forward(c.hidden, c.head(), c.targets())) {
      for (long from = 0; from < HeadCase.ROWS; from += rowsPerChunk) {
        long rows = Math.min(rowsPerChunk, HeadCase.ROWS - from);
        Tensor logits = c.hidden.narrow(0, from, rows).mm(c.weight.t());
        Targets targets =
            Targets.of(Torch.longs(Tensors.of(c.targets).narrow(0, from, rows).clone()));
        try (LogProbs expected = kernel(c).forward(Torch.matrix(logits), targets)) {
          assertThat(ours.logProb().slice(from, rows).toArray())
              .containsExactly(expected.logProb().toArray());
          assertThat(ours.entropy().slice(from, rows).toArray())
              .containsExactly(expected.entropy().toArray());
        }
      }
    }
  }

  @Test
  void maskedRowsAreNotReadAndGetZeros() {
    HeadCase c = HeadCase.masked(torch.ScalarType.Float);
    Tensor poisoned = c.hidden.clone();
    for (int r = 0; r < HeadCase.ROWS; r++) {
      if (c.targets[r] == Targets.IGNORE_INDEX) {
        poisoned.get(r).fill_(new Scalar(Float.NaN));
      }
    }
    LinearLogProb operation = operation(c, 4);
    try (Floats a = upstream(5);
        LogProbs clean = operation.forward(c.hidden, c.head(), c.targets());
        LogProbs saved = operation.forward(poisoned, c.head(), c.targets());
        LinearGradients expected =
            operation.backward(c.hidden, c.head(), c.targets(), clean, LogProbGradients.of(a));
        LinearGradients g =
            operation.backward(poisoned, c.head(), c.targets(), saved, LogProbGradients.of(a))) {
      assertThat(saved.all().toArray()).containsExactly(clean.all().toArray());
      assertThat(g.weight().toArray()).containsExactly(expected.weight().toArray());
      assertThat(g.hidden().toArray()).containsExactly(expected.hidden().toArray());
      for (int r = 0; r < HeadCase.ROWS; r++) {
        if (c.targets[r] == Targets.IGNORE_INDEX) {
          assertThat(saved.logProb().get(r)).isZero();
          assertThat(g.hidden().rows(r, r + 1).toArray()).containsOnly(0f);
        }
      }
    }
  }

  @Test
  void aMaskOfBytesAndTargetsOf32BitsSelectTheSameRows() {
    HeadCase c = HeadCase.masked(torch.ScalarType.Float);
    int[] ids = new int[HeadCase.ROWS];
    byte[] mask = new byte[HeadCase.ROWS];
    for (int r = 0; r < ids.length; r++) {
      mask[r] = (byte) (c.targets[r] == Targets.IGNORE_INDEX ? 0 : 2);
      ids[r] = mask[r] == 0 ? 1_000_000 : (int) c.targets[r];
    }
    try (Ints narrow = Ints.copyOf(ids);
        Bytes bytes = Bytes.copyOf(mask);
        LogProbs expected = operation(c, 4).forward(c.hidden, c.head(), c.targets());
        LogProbs out =
            operation(c, 4).forward(c.hidden, c.head(), Targets.of(narrow).withMask(bytes))) {
      assertThat(out.all().toArray()).containsExactly(expected.all().toArray());
    }
  }

  @Test
  void aRowWithoutUpstreamGradientDoesNotSpreadWhatIsNotFinite() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor bias = torch.zeros(HeadCase.VOCABULARY);
    LinearHead head = c.head().withBias(bias);
    float[] upstream = HeadCase.normal(new Random(6), HeadCase.ROWS);
    upstream[3] = 0;
    Tensor overflowing = c.hidden.clone();
    overflowing.get(3).fill_(new Scalar(3e38f));
    LinearLogProb operation = operation(c, 8);
    try (Floats a = Floats.copyOf(upstream);
        LogProbs saved = operation.forward(overflowing, head, c.targets());
        LinearGradients g =
            operation.backward(overflowing, head, c.targets(), saved, LogProbGradients.of(a))) {
      assertThat(saved.logProb().get(3)).isNaN();
      for (float element : g.weight().toArray()) {
        assertThat(element).isFinite();
      }
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 3, 16, 20})
  void theNumberOfRowsInAChunkChangesGradientsToRoundingOnly(long rowsPerChunk) {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    try (Floats a = upstream(7);
        Floats b = upstream(8);
        LinearGradients whole = gradients(c, HeadCase.ROWS, a, b);
        LinearGradients parts = gradients(c, rowsPerChunk, a, b)) {
      assertClose("hidden", Torch.tensor(parts.hidden()), Torch.tensor(whole.hidden()), 2e-6);
      assertClose("weight", Torch.tensor(parts.weight()), Torch.tensor(whole.weight()), 2e-6);
    }
  }

  @Test
  void noRowsAndNoRowThatCountsGiveZeros() {
    HeadCase c = HeadCase.masked(torch.ScalarType.BFloat16);
    for (int rows : new int[] {0, 5}) {
      long[] ignored = new long[rows];
      Arrays.fill(ignored, Targets.IGNORE_INDEX);
      Tensor hidden = c.hidden.narrow(0, 0, rows).contiguous();
      LinearLogProb operation = operation(c, 4);
      try (Longs ids = Longs.copyOf(ignored);
          Floats a = Floats.copyOf(new float[rows]);
          LogProbs out = operation.forward(hidden, c.head(), Targets.of(ids));
          LinearGradients g =
              operation.backward(hidden, c.head(), Targets.of(ids), out, LogProbGradients.of(a))) {
        assertThat(out.logProb().toArray()).containsOnly(new float[rows]).hasSize(rows);
        assertThat(g.hidden().rows()).isEqualTo(rows);
        assertThat(g.weight().toArray()).containsOnly(0f);
        assertThat(g.bias().toArray()).containsOnly(0f);
      }
    }
  }

  @Test
  void eachRowHasItsTemperature() {
    HeadCase c = HeadCase.masked(torch.ScalarType.Float);
    float[] temperatures = new float[HeadCase.ROWS];
    Arrays.fill(temperatures, 0.5f);
    temperatures[4] = 2;
    try (Floats t = Floats.copyOf(temperatures)) {
      LinearLogProb rows = LinearLogProb.of(LogProb.plain().withRowTemperature(t));
      LinearLogProb cold = LinearLogProb.of(LogProb.atTemperature(0.5f));
      LinearLogProb hot = LinearLogProb.of(LogProb.atTemperature(2));
      try (LogProbs ours = rows.forward(c.hidden, c.head(), c.targets());
          LogProbs half = cold.forward(c.hidden, c.head(), c.targets());
          LogProbs two = hot.forward(c.hidden, c.head(), c.targets())) {
        float[] expected = half.logProb().toArray();
        expected[4] = two.logProb().get(4);
        assertThat(expected[4]).isNotZero();
        assertThat(ours.logProb().toArray()).containsExactly(expected);
      }
    }
  }

  @Test
  void aSequenceOfBatchesHasARowForEachPosition() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor batched = c.hidden.narrow(0, 0, 36).view(4, 9, HeadCase.WIDTH);
    try (Longs ids = Longs.copyOf(Arrays.copyOf(c.targets, 36));
        LogProbs flat = operation(c, 50).forward(c.hidden, c.head(), c.targets());
        LogProbs out = operation(c, 50).forward(batched, c.head(), Targets.of(ids))) {
      assertClose("log-probs", tensor(out.logProb()), tensor(flat.logProb().slice(0, 36)), 1e-6);
    }
  }

  @Test
  void targetsOutsideTheVocabularyAreNamedBeforeAnythingIsComputed() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    long[] ids = c.targets.clone();
    ids[7] = HeadCase.VOCABULARY;
    ids[9] = -3;
    try (Longs bad = Longs.copyOf(ids)) {
      assertThatThrownBy(() -> operation(c, 3).forward(c.hidden, c.head(), Targets.of(bad)))
          .isInstanceOf(IndexOutOfBoundsException.class)
          .hasMessage("targets: target 131 of row 7 is outside the vocabulary [0, 131)");
    }
    LinearLogProb padded = LinearLogProb.of(LogProb.plain().withValidVocab(2));
    assertThatThrownBy(() -> padded.forward(c.hidden, c.head(), c.targets()))
        .isInstanceOf(IndexOutOfBoundsException.class)
        .hasMessageContaining("[0, 2)");
  }

  @Test
  void whatDoesNotFitIsRefusedByName() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    LinearLogProb operation = operation(c, 3);
    try (Longs few = Longs.copyOf(1, 2, 3);
        Floats short_ = Floats.copyOf(1, 2);
        LogProbs saved = operation.forward(c.hidden, c.head(), c.targets())) {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> operation.forward(c.hidden, c.head(), Targets.of(few)))
          .withMessage("targets: has 3 elements, 37 (one per row) are needed");
      assertThatIllegalArgumentException()
          .isThrownBy(
              () ->
                  operation.backward(
                      c.hidden, c.head(), c.targets(), saved, LogProbGradients.of(short_)))
          .withMessageContaining("upstream logProb: has 2 elements");
      assertThatIllegalArgumentException()
          .isThrownBy(
              () ->
                  operation.backward(
                      c.hidden,
                      c.head(),
                      c.targets(),
                      saved,
                      LogProbGradients.ofSelfCertainty(saved.logProb())))
          .withMessageContaining("withSelfCertainty");
      LogProb masked = LogProb.plain().withKeepMask(KeepMask.copyOf(new boolean[1][1]));
      assertThatIllegalArgumentException()
          .isThrownBy(() -> LinearLogProb.of(masked).forward(c.hidden, c.head(), c.targets()))
          .withMessageContaining("keepMask");
    }
  }

  @Test
  void autogradRecordsNothingOfIt() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor hidden = c.hidden.clone().requires_grad_(true);
    Tensor weight = c.weight.clone().requires_grad_(true);
    LinearLogProb operation = operation(c, 5);
    try (Floats a = upstream(9);
        LogProbs saved = operation.forward(hidden, LinearHead.of(weight), c.targets());
        LinearGradients g =
            operation.backward(
                hidden, LinearHead.of(weight), c.targets(), saved, LogProbGradients.of(a))) {
      Matrix ours = g.weight();
      assertThat(Torch.tensor(ours).requires_grad()).isFalse();
      assertThat(hidden.grad().defined()).isFalse();
      Torch.backward(Root.of(hidden, g.hidden()), Root.of(weight, g.weight()));
      assertThat(TensorError.largest(hidden.grad(), Torch.tensor(g.hidden()))).isZero();
      assertThat(TensorError.largest(weight.grad(), Torch.tensor(g.weight()))).isZero();
    }
  }
}
