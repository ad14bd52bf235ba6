package dev.polka.torch;

import static dev.polka.torch.TensorError.assertAsGood;
import static dev.polka.torch.TensorError.assertClose;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.Divergence;
import dev.polka.kernel.DivergenceResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.Rows;
import dev.polka.kernel.Targets;
import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
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
import org.junit.jupiter.params.provider.ValueSource;

class LinearDivergenceTest {
  private static final int TEACHER_WIDTH = 40;
  private static final Normalizer TOKENS = Normalizer.tokens(20);

  private PointerScope scope;
  private Tensor teacherHidden;
  private Tensor teacherWeight;
  private Floats weights;

  @BeforeEach
  void open() {
    scope = new PointerScope();
    Random random = new Random(21);
    teacherHidden = HeadCase.normal(random, 1, HeadCase.ROWS, TEACHER_WIDTH);
    teacherWeight = HeadCase.normal(random, 0.4f, HeadCase.VOCABULARY, TEACHER_WIDTH);
    weights = Floats.copyOf(HeadCase.normal(random, HeadCase.ROWS));
  }

  @AfterEach
  void close() {
    scope.close();
    weights.close();
  }

  private TeacherLogits teacher(HeadCase c) {
    return TeacherLogits.of(teacherHidden.to(c.type), LinearHead.of(teacherWeight.to(c.type)));
  }

  private Tensor teacherLogits(HeadCase c) {
    return teacherHidden.to(c.type).mm(teacherWeight.to(c.type).t());
  }

  private Rows rows(HeadCase c) {
    byte[] mask = new byte[HeadCase.ROWS];
    for (int r = 0; r < mask.length; r++) {
      mask[r] = (byte) (c.targets[r] == Targets.IGNORE_INDEX ? 0 : 1);
    }
    return Rows.all().withMask(Bytes.copyOf(mask)).withWeight(weights);
  }

  private static Divergence onto(HeadCase c, Divergence divergence) {
    Divergence tempered = divergence.withTemperature(c.temperature);
    return c.softcap == 0 ? tempered : tempered.withSoftcap(c.softcap);
  }

  /** Twice the rows fit where there is no teacher. */
  private static LinearDivergence linear(HeadCase c, Divergence divergence, long rowsPerChunk) {
    return LinearDivergence.of(onto(c, divergence)).withMemoryBudget(c.budget(2 * rowsPerChunk));
  }

  /** Reverse KL, the plain way. */
  private HeadCase.Plain backwards(HeadCase c, torch.ScalarType as) {
    HeadCase.Plain plain = c.new Plain(as);
    Tensor q = teacherLogits(c).to(plain.logProbs.scalar_type());
    if (c.softcap != 0) {
      q = q.div(new Scalar(c.softcap)).tanh().mul(new Scalar(c.softcap));
    }
    Tensor difference = plain.logProbs.sub(q.div(new Scalar(c.temperature)).log_softmax(-1));
    Tensor values = plain.logProbs.exp().mul(difference).sum(-1);
    Tensor weighted = values.mul(Tensors.of(weights.toArray())).mul(c.counted());
    weighted.sum().div(new Scalar(20)).backward();
    return plain;
  }

  @Test
  void gradientsAreAsGoodAsLibtorchs() {
    for (HeadCase c : HeadCase.all()) {
      HeadCase.Plain exact = backwards(c, torch.ScalarType.Double);
      HeadCase.Plain libtorch = backwards(c, c.type);
      for (long rowsPerChunk : new long[] {1, 6, 37}) {
        try (LinearDivergenceResult r =
            linear(c, Divergence.reverseKl(), rowsPerChunk)
                .forwardBackward(c.hidden, c.head(), teacher(c), rows(c), TOKENS)) {
          assertAsGood(c + " in chunks of " + rowsPerChunk, r.gradients(), libtorch, exact);
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 4, 16, 50})
  void allIsAsFromLogits(long rowsPerChunk) {
    HeadCase c = new HeadCase("values", torch.ScalarType.Float, false, 1, 3, 0.8f, 3);
    Tensor logits = c.hidden.mm(c.weight.t());
    for (Divergence divergence :
        new Divergence[] {Divergence.forwardKl(), Divergence.reverseKl(), Divergence.jsd(0.3f)}) {
      try (DivergenceResult expected =
              onto(c, divergence)
                  .forwardBackward(
                      Torch.matrix(logits), Torch.matrix(teacherLogits(c)), rows(c), TOKENS);
          LinearDivergenceResult ours =
              linear(c, divergence, rowsPerChunk)
                  .forwardBackward(c.hidden, c.head(), teacher(c), rows(c), TOKENS);
          LinearDivergenceResult ofLogits =
              linear(c, divergence, rowsPerChunk)
                  .forward(
                      c.hidden, c.head(), TeacherLogits.of(teacherLogits(c)), rows(c), TOKENS)) {
        assertSame("value", ours.value(), expected.value());
        assertSame("student entropy", ours.studentEntropy(), expected.studentEntropy());
        assertSame("student lse", ours.studentLse(), expected.studentLse());
        assertSame("teacher lse", ours.teacherLse(), expected.teacherLse());
        assertSame("value of logits", ofLogits.value(), expected.value());
        assertThat(ours.loss()).isCloseTo(expected.loss(), within(1e-6));
        Tensor dLogits = Torch.tensor(expected.gradient());
        assertClose("hidden", Torch.tensor(ours.gradients().hidden()), dLogits.mm(c.weight), 1e-5);
        assertClose(
            "weight", Torch.tensor(ours.gradients().weight()), dLogits.t().mm(c.hidden), 1e-5);
        assertThatIllegalStateException().isThrownBy(ofLogits::gradients);
      }
    }
  }

  private static void assertSame(String what, Floats actual, Floats expected) {
    assertClose(what, Tensors.of(actual.toArray()), Tensors.of(expected.toArray()), 2e-6);
  }

  @Test
  void aTeacherWithPaddedColumnsIsCutToThoseOfBoth() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor padding = torch.ones(9, TEACHER_WIDTH);
    Tensor padded = torch.zeros(HeadCase.VOCABULARY + 9, TEACHER_WIDTH);
    padded.narrow(0, 0, HeadCase.VOCABULARY).copy_(teacherWeight);
    padded.narrow(0, HeadCase.VOCABULARY, 9).copy_(padding);
    Divergence common = Divergence.forwardKl().withCommonPrefix();
    try (LinearDivergenceResult expected = values(c, Divergence.forwardKl());
        LinearDivergenceResult r =
            LinearDivergence.of(common)
                .withMemoryBudget(c.budget(8))
                .forward(
                    c.hidden,
                    c.head(),
                    TeacherLogits.of(teacherHidden, LinearHead.of(padded)),
                    rows(c),
                    TOKENS)) {
      assertSame("value", r.value(), expected.value());
    }
  }

  @Test
  void maskedRowsOfTeacherLogitsAreNotRead() {
    HeadCase c = HeadCase.masked(torch.ScalarType.Float);
    Tensor poisoned = teacherLogits(c).clone();
    for (int r = 0; r < HeadCase.ROWS; r++) {
      if (c.targets[r] == Targets.IGNORE_INDEX) {
        poisoned.get(r).fill_(new Scalar(Float.NaN));
      }
    }
    LinearDivergence divergence = linear(c, Divergence.jsd(0.5f), 4);
    try (LinearDivergenceResult clean =
            divergence.forwardBackward(
                c.hidden, c.head(), TeacherLogits.of(teacherLogits(c)), rows(c), TOKENS);
        LinearDivergenceResult r =
            divergence.forwardBackward(
                c.hidden, c.head(), TeacherLogits.of(poisoned), rows(c), TOKENS)) {
      assertThat(r.loss()).isFinite().isEqualTo(clean.loss());
      assertThat(r.gradients().weight().toArray())
          .containsExactly(clean.gradients().weight().toArray());
    }
  }

  @Test
  void aTeacherThatIsTheStudentGivesNoLossAndNoGradient() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    try (LinearDivergenceResult r =
        linear(c, Divergence.reverseKl(), 8)
            .forwardBackward(
                c.hidden, c.head(), TeacherLogits.of(c.hidden, c.head()), Rows.all(), TOKENS)) {
      assertThat(r.loss()).isBetween(0.0, 1e-7);
      assertThat(TensorError.magnitude(Torch.tensor(r.gradients().weight()))).isLessThan(1e-6);
    }
  }

  @Test
  void eachRowHasItsTemperature() {
    HeadCase c = HeadCase.masked(torch.ScalarType.Float);
    float[] temperatures = new float[HeadCase.ROWS];
    Arrays.fill(temperatures, 0.5f);
    temperatures[4] = 2;
    try (Floats t = Floats.copyOf(temperatures);
        LinearDivergenceResult rows = values(c, Divergence.forwardKl().withRowTemperature(t));
        LinearDivergenceResult half = values(c, Divergence.forwardKl().withTemperature(0.5f));
        LinearDivergenceResult two = values(c, Divergence.forwardKl().withTemperature(2))) {
      float[] expected = half.value().toArray();
      expected[4] = two.value().get(4);
      assertThat(expected[4]).isNotZero();
      assertThat(rows.value().toArray()).containsExactly(expected);
    }
  }

  private LinearDivergenceResult values(HeadCase c, Divergence divergence) {
    return LinearDivergence.of(divergence)
        .withMemoryBudget(c.budget(8))
        .forward(c.hidden, c.head(), teacher(c), rows(c), TOKENS);
  }

  @Test
  void noRowsAndOnlyMaskedRowsGiveZeros() {
    HeadCase c = HeadCase.plain(torch.ScalarType.BFloat16);
    for (int rows : new int[] {0, 5}) {
      try (Bytes none = Bytes.copyOf(new byte[rows]);
          LinearDivergenceResult r =
              linear(c, Divergence.forwardKl(), 4)
                  .forwardBackward(
                      c.hidden.narrow(0, 0, rows).contiguous(),
                      c.head(),
                      TeacherLogits.of(teacherLogits(c).narrow(0, 0, rows).contiguous()),
                      Rows.all().withMask(none),
                      TOKENS)) {
        assertThat(r.loss()).isZero();
        assertThat(r.value().size()).isEqualTo(rows);
        assertThat(r.gradients().weight().toArray()).containsOnly(0f);
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefusedByName() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    LinearDivergence divergence = linear(c, Divergence.forwardKl(), 4);
    TeacherLogits few = TeacherLogits.of(teacherLogits(c).narrow(0, 0, 3));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> divergence.forward(c.hidden, c.head(), few, Rows.all(), TOKENS))
        .withMessage("teacher: has 3 rows, the student's hidden states have 37");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> TeacherLogits.of(teacherHidden, c.head()))
        .withMessageContaining("teacher hidden: tensor [37, 40] is refused: the weight is");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> TeacherLogits.of(torch.zeros(8, 3, 2).narrow(1, 0, 2)))
        .withMessageContaining("teacher: the logits have gaps");
    TeacherLogits narrow = TeacherLogits.of(torch.zeros(HeadCase.ROWS, 9));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> divergence.forward(c.hidden, c.head(), narrow, Rows.all(), TOKENS))
        .withMessageContaining("teacher: is [");
    try (Longs counts = Longs.copyOf(1)) {
      assertThatIllegalArgumentException()
          .isThrownBy(
              () ->
                  divergence.forward(
                      c.hidden, c.head(), teacher(c), Rows.all(), Normalizer.sequences(1, counts)))
          .withMessageContaining("normalizer");
    }
  }
}
