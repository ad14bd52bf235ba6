package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Floats;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A target outside the vocabulary is refused with its row and value, before anything is written.
 */
class HostileTargetsTest {
  private static final int COLS = 300;
  private static final float UNTOUCHED = 7;

  private static Targets targets(long hostile) {
    return Targets.of(Longs.copyOf(3, 299, hostile, -77));
  }

  private static void assertRefused(Runnable call, long value) {
    assertThatThrownBy(call::run)
        .isInstanceOf(IndexOutOfBoundsException.class)
        .hasMessageContaining("row 2")
        .hasMessageContaining(Long.toString(value))
        .hasMessageContaining("300");
  }

  @ParameterizedTest
  @ValueSource(
      longs = {-1, -99, 300, 301, 1L << 32, Long.MAX_VALUE, Long.MIN_VALUE, Integer.MIN_VALUE})
  void logProbRefusesThem(long hostile) {
    try (Matrix logits = Logits.normal(4, COLS, 1).matrix();
        LogProbs out = LogProb.plain().allocate(logits)) {
      for (int r = 0; r < 4; r++) {
        out.logProb().set(r, UNTOUCHED);
      }
      assertRefused(() -> LogProb.plain().forward(logits, targets(hostile), out), hostile);
      assertThat(out.logProb().toArray()).containsOnly(UNTOUCHED);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, 300, Integer.MAX_VALUE, Integer.MIN_VALUE})
  void logProbRefusesThemAsInt32Too(int hostile) {
    Targets targets = Targets.of(Ints.copyOf(3, 299, hostile, 1));
    try (Matrix logits = Logits.normal(4, COLS, 1).matrix()) {
      assertRefused(() -> LogProb.plain().forward(logits, targets), hostile);
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, 300, Long.MAX_VALUE, Long.MIN_VALUE})
  void backwardRefusesThemAndLeavesTheLogits(long hostile) {
    Logits values = Logits.normal(4, COLS, 1);
    try (Matrix logits = values.matrix();
        LogProbs saved = LogProb.plain().forward(logits, Targets.of(Longs.copyOf(1, 2, 3, 4)))) {
      LogProbGradients upstream = LogProbGradients.of(Floats.copyOf(1, 1, 1, 1));
      assertRefused(
          () -> LogProb.plain().backwardInPlace(logits, targets(hostile), saved, upstream),
          hostile);
      assertThat(logits.toArray()).isEqualTo(values.values());
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, 300, Long.MAX_VALUE, Long.MIN_VALUE})
  void thePolicyLossRefusesThemAndLeavesTheLogits(long hostile) {
    Logits values = Logits.normal(4, COLS, 1);
    TokenBatch batch =
        TokenBatch.of(targets(hostile), Longs.copyOf(0, 4))
            .withSequenceAdvantages(Floats.copyOf(1));
    try (Matrix logits = values.matrix()) {
      assertRefused(
          () -> PolicyLoss.ppo().forwardBackwardInPlace(logits, batch, Normalizer.tokens(4)),
          hostile);
      assertThat(logits.toArray()).isEqualTo(values.values());
    }
  }

  @Test
  void aPaddedColumnIsNoTarget() {
    try (Matrix logits = Logits.normal(4, 304, 1).matrix()) {
      LogProb op = LogProb.plain().withValidVocab(300);
      assertRefused(() -> op.forward(logits, targets(300)), 300);
    }
  }

  @Test
  void aMaskedRowsTargetIsNotLookedAt() {
    LogProbCase c =
        LogProbCase.of(Logits.normal(3, COLS, 2), PLAIN, 5, Long.MIN_VALUE, 7)
            .withMask(true, false, true);
    assertThat(c.forward().logProb()[1]).isZero();
  }

  @Test
  void theIgnoreIndexCanBeAnyNumber() {
    Targets targets =
        Targets.of(Longs.copyOf(5, Long.MIN_VALUE, 7)).withIgnoreIndex(Long.MIN_VALUE);
    try (Matrix logits = Logits.normal(3, COLS, 2).matrix();
        LogProbs out = LogProb.plain().forward(logits, targets)) {
      assertThat(out.logProb().get(1)).isZero();
      assertThat(out.logProb().get(2)).isNegative();
    }
  }
}
