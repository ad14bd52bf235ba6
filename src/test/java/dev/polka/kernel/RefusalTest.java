package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Allocator;
import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Bad input is refused by its Java name, its value and its limit, and by the right exception. */
class RefusalTest {
  private static final Matrix LOGITS = Matrix.copyOf(DType.F32, 2, 3, 1, 2, 3, 4, 5, 6);
  private static final Targets TARGETS = Targets.of(Longs.copyOf(0, 1));
  private static final TokenBatch BATCH =
      TokenBatch.of(TARGETS, Longs.copyOf(0, 2)).withAdvantages(Floats.copyOf(1, 1));
  private static final Normalizer ONE = Normalizer.none();
  private static final Floats REWARDS = Floats.copyOf(1, 2);
  private static final long HUGE = 1L << 62;

  private static Arguments nothing(String name, ThrowingCallable call) {
    return Arguments.of(name, call);
  }

  static Stream<Arguments> callsWithoutAnArgument() {
    LogProb logProb = LogProb.plain();
    Divergence divergence = Divergence.forwardKl();
    PolicyLoss loss = PolicyLoss.grpo();
    LogProbs saved = logProb.forward(LOGITS, TARGETS);
    return Stream.of(
        nothing("logits", () -> logProb.forward(null, TARGETS)),
        nothing("targets", () -> logProb.forward(LOGITS, null)),
        nothing("out", () -> logProb.forward(LOGITS, TARGETS, null)),
        nothing("logits", () -> logProb.backward(null, TARGETS, saved, null)),
        nothing("saved", () -> logProb.backward(LOGITS, TARGETS, null, null)),
        nothing("upstream", () -> logProb.backward(LOGITS, TARGETS, saved, null)),
        nothing("student", () -> divergence.forward(null, LOGITS, Rows.all(), ONE)),
        nothing("student", () -> divergence.forwardBackward(null, LOGITS, Rows.all(), ONE)),
        nothing("teacher", () -> divergence.forwardBackward(LOGITS, null, Rows.all(), ONE)),
        nothing("rows", () -> divergence.forwardBackward(LOGITS, LOGITS, null, ONE)),
        nothing("normalizer", () -> divergence.forward(LOGITS, LOGITS, Rows.all(), null)),
        nothing("logits", () -> loss.forwardBackward((Matrix) null, BATCH, ONE)),
        nothing("batch", () -> loss.forwardBackward(LOGITS, null, ONE)),
        nothing("normalizer", () -> loss.forwardBackward(LOGITS, BATCH, null)),
        nothing("out", () -> loss.forwardBackward(LOGITS, BATCH, ONE, null)),
        nothing("logProb", () -> loss.forwardBackward((Floats) null, null, BATCH, ONE)),
        nothing("batch", () -> loss.forwardBackward(REWARDS, null, null, ONE)),
        nothing("rewards", () -> GroupAdvantage.grpo().forward((Floats) null, Groups.ofSize(2))),
        nothing("groups", () -> GroupAdvantage.grpo().forward(REWARDS, null)),
        nothing("out", () -> GroupAdvantage.grpo().forward(REWARDS, Groups.ofSize(2), null)),
        nothing("input", () -> TokenKl.of(KlEstimator.K1).forward(null)),
        nothing("input", () -> TokenKl.of(KlEstimator.K1).forwardBackward(null)),
        nothing("ids", () -> Targets.nextToken(null, 1, 1, null)),
        nothing("offsets", () -> Targets.nextToken(Longs.copyOf(1), null, null)),
        nothing("offsets", () -> TokenBatch.ofOffsets(null)));
  }

  @ParameterizedTest
  @MethodSource("callsWithoutAnArgument")
  void aMissingArgumentIsNamed(String name, ThrowingCallable call) {
    assertThatThrownBy(call).isInstanceOf(NullPointerException.class).hasMessage(name);
  }

  static Stream<Arguments> sizesThatOverflow() {
    return Stream.of(
        nothing("cols", () -> Matrix.copyOf(DType.F32, HUGE, 3)),
        nothing(
            "batch: 4611686018427387904 times 2",
            () -> Targets.nextToken(Longs.copyOf(0), HUGE, 2, null)),
        nothing("innerRows is 4611686018427387904", () -> MatrixLayout.blocks(2, HUGE, 1, 1, 1)),
        nothing("size 4611686018427387904", () -> Floats.ofAddress(64, HUGE).slice(0, HUGE)),
        nothing("size 4611686018427387904", () -> Doubles.allocate(HUGE)),
        nothing(
            "[4611686018427387904, 2]",
            () -> Allocator.nativeMemory().allocate(DType.F32, HUGE, 2)),
        nothing("4294967296", () -> TokenLayout.ofOffsets(0, 1L << 32)),
        nothing("lengths", () -> TokenLayout.ofLengths(1L << 30, Long.MAX_VALUE)),
        nothing("width", () -> TokenLayout.padded(1 << 30, 1, 1)));
  }

  @ParameterizedTest
  @MethodSource("sizesThatOverflow")
  void aSizeBeyond63BitsIsAnArgumentsFault(String text, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfAny(IllegalArgumentException.class, IndexOutOfBoundsException.class)
        .isNotInstanceOf(ArithmeticException.class)
        .message()
        .isNotBlank();
  }

  @Test
  void nextTokenTakesNoNegativeSize() {
    assertThatThrownBy(() -> Targets.nextToken(Longs.copyOf(), -1, 0, null))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("nextToken: batch -1 and length 0 must not be negative");
    assertThatThrownBy(() -> Targets.nextToken(Longs.copyOf(1, 2), -1, -2, null))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void offsetsThatFallOrLeaveTheRowsAreRefused() {
    TokenBatch falling = TokenBatch.of(TARGETS, Longs.copyOf(0, 2, 1, 2));
    TokenBatch beyond = TokenBatch.of(TARGETS, Longs.copyOf(0, 3));
    assertThatThrownBy(falling::countTokens)
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("offsets: entry 2 is 1, outside [2, 2]");
    assertThatThrownBy(beyond::countTokens)
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("offsets: entry 1 is 3, outside [0, 2]");
    assertThatThrownBy(() -> Targets.nextToken(Longs.copyOf(1, 2), Longs.copyOf(0, 2, 1), null))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(
            () ->
                PolicyLoss.grpo()
                    .forward(LOGITS, falling.withTokenAdvantages(Floats.copyOf(1, 1)), ONE))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("offsets: falls from 2 to 1 at 2");
  }

  @Test
  void aRewardThatIsInfiniteOrTooLargeIsAnArgumentsFault() {
    for (double reward : new double[] {Double.POSITIVE_INFINITY, 1e308, -2e301}) {
      assertThatThrownBy(
              () ->
                  GroupAdvantage.grpo()
                      .forward(Doubles.copyOf(0, reward, -reward), Groups.ofSize(3)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageStartingWith("rewards: reward 1 is ")
          .hasMessageEndingWith("outside [-1e301, 1e301]");
    }
    try (Doubles most =
        GroupAdvantage.grpo().forward(Doubles.copyOf(1e300, -1e300), Groups.ofSize(2))) {
      assertThat(most.get(0))
          .isCloseTo(Math.sqrt(0.5), org.assertj.core.api.Assertions.within(1e-15));
    }
  }

  @Test
  void aTemperatureWhoseReciprocalOverflowsIsRefused() {
    float denormal = Float.MIN_NORMAL / 2;
    assertThatThrownBy(() -> LogProb.atTemperature(denormal))
        .hasMessageStartingWith("temperature:");
    assertThatThrownBy(() -> LogProb.plain().withSecondTemperature(denormal))
        .hasMessageStartingWith("secondTemperature:");
    assertThatThrownBy(() -> Divergence.forwardKl().withTeacherTemperature(denormal))
        .hasMessageStartingWith("teacherTemperature:");
    assertThatThrownBy(
            () ->
                LogProb.plain()
                    .withRowTemperature(Floats.copyOf(1, denormal))
                    .forward(LOGITS, TARGETS))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("of row 1 is not finite and >= 2^-126");
    try (Matrix zeros = Matrix.copyOf(DType.F32, 1, 2, 0, 0);
        Targets first = Targets.of(Longs.copyOf(0));
        LogProbs least = LogProb.atTemperature(Float.MIN_NORMAL).forward(zeros, first)) {
      assertThat(least.logProb().get(0)).isEqualTo((float) -Math.log(2));
    }
  }

  @Test
  void theTemperatureOfAMaskedRowIsNotRead() {
    Floats temperatures = Floats.copyOf(Float.NaN, 1);
    Bytes mask = Bytes.copyOf(false, true);
    Targets masked = TARGETS.withMask(mask);
    TokenBatch batch =
        TokenBatch.of(masked, Longs.copyOf(0, 2)).withTokenAdvantages(Floats.copyOf(1, 1));
    try (LogProbs expected = LogProb.plain().forward(LOGITS, masked);
        LogProbs actual = LogProb.plain().withRowTemperature(temperatures).forward(LOGITS, masked);
        LossResult loss =
            PolicyLoss.grpo()
                .withRowTemperature(temperatures)
                .forwardBackward(LOGITS, batch, Normalizer.tokens(1));
        DivergenceResult divergence =
            Divergence.forwardKl()
                .withRowTemperature(temperatures)
                .forwardBackward(LOGITS, LOGITS, Rows.all().withMask(mask), ONE)) {
      assertThat(actual.logProb().toArray()).isEqualTo(expected.logProb().toArray());
      assertThat(loss.gradient().rows(0, 1).toArray()).containsExactly(0, 0, 0);
      assertThat(loss.loss()).isEqualTo(-1);
      assertThat(divergence.loss()).isZero();
    }
  }

  @Test
  void nativeTextsCallArgumentsWhatJavaDoes() {
    assertThat(NativeStatus.inJava("d_logits: dtype bf16 is neither the logits' (f16) nor f32"))
        .isEqualTo("gradient: dtype bf16 is neither the logits' (f16) nor f32");
    assertThat(NativeStatus.inJava("softmax: valid_vocab 9 is outside [0, 8], k3_max"))
        .isEqualTo("softmax: validVocab 9 is outside [0, 8], k3Max");
    assertThat(NativeStatus.inJava("CUDA_ERROR_OUT_OF_MEMORY: sm_90 at /a/b_c"))
        .startsWith("CUDA_ERROR_OUT_OF_MEMORY");
  }

  @Test
  void aGradientOfAnotherTypeIsRefusedByTheNamesOfTheTypes() {
    try (Matrix half = Matrix.allocate(DType.F16, 2, 3);
        LossResult out = LossResult.of(half)) {
      assertThatThrownBy(() -> PolicyLoss.grpo().forwardBackward(LOGITS, BATCH, ONE, out))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("gradient: dtype f16 is neither the logits' (f32) nor f32");
    }
    try (Matrix halves = Matrix.copyOf(DType.F16, 2, 3, 1, 2, 3, 4, 5, 6)) {
      assertThatThrownBy(() -> PolicyLoss.grpo().forwardBackwardInPlace(halves, BATCH, ONE))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("gradientScale: must be set for f16 logits in place");
    }
  }

  @Test
  void logitsAreNotOverwrittenUnlessInPlaceIsAskedFor() {
    Matrix logits = Matrix.copyOf(DType.F32, 2, 3, 1, 2, 3, 4, 5, 6);
    float[] before = logits.toArray();
    try (LossResult loss = LossResult.of(logits);
        DivergenceResult divergence = DivergenceResult.of(logits)) {
      assertThatThrownBy(() -> PolicyLoss.grpo().forwardBackward(logits, BATCH, ONE, loss))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("gradient: is the memory of the logits");
      assertThatThrownBy(
              () ->
                  Divergence.forwardKl()
                      .forwardBackward(logits, LOGITS, Rows.all(), ONE, divergence))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("gradient: is the memory of the logits");
    }
    assertThat(logits.toArray()).isEqualTo(before);
  }

  @Test
  void aResultThatNoCallHasWrittenHasNoLoss() {
    try (LossResult loss = LossResult.allocate(LOGITS);
        DivergenceResult divergence = DivergenceResult.allocate(LOGITS)) {
      assertThat(loss.loss()).isNaN();
      assertThat(divergence.loss()).isNaN();
    }
  }
}
