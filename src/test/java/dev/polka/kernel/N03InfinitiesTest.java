package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static java.lang.Float.NEGATIVE_INFINITY;
import static java.lang.Float.NaN;
import static java.lang.Float.POSITIVE_INFINITY;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** N3: -inf logits are legal, +inf and NaN spoil their own row, an impossible target has none. */
class N03InfinitiesTest {
  private static final int COLS = 9001;
  private static final float[] ONES = {1, 1, 1};

  /** Columns of the middle row that are -inf. */
  static Stream<Arguments> layouts() {
    return Stream.of(Storage.values())
        .flatMap(
            s ->
                Stream.of(
                    Arguments.of("leading tile", 0, 4096, s),
                    Arguments.of("leading tile and a half", 0, 6000, s),
                    Arguments.of("middle tile", 4096, 8192, s),
                    Arguments.of("trailing", 5000, COLS, s),
                    Arguments.of("all but the first", 1, COLS, s),
                    Arguments.of("all but the last", 0, COLS - 1, s),
                    Arguments.of("one", 17, 18, s)));
  }

  private static Logits masked(Storage storage, int from, int to) {
    Logits logits = Logits.normal(storage, 3, COLS, 3, 0, 5);
    float[] values = logits.values().clone();
    Arrays.fill(values, COLS + from, COLS + to, NEGATIVE_INFINITY);
    return logits.with(values);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void maskedColumnsInAnyLayoutMeetTheBar(String name, int from, int to, Storage storage) {
    int free = from > 0 ? 0 : COLS - 1;
    for (ReferenceSoftmax softmax :
        new ReferenceSoftmax[] {PLAIN, ReferenceSoftmax.at(0.7f).withSoftcap(9)}) {
      LogProbCase c = LogProbCase.of(masked(storage, from, to), softmax, 3, free, 8000);
      c.assertForward();
      c.assertBackward();
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anImpossibleTargetHasLogProbMinusInfinityAndNoGradient(
      String name, int from, int to, Storage storage) {
    LogProbCase c = LogProbCase.of(masked(storage, from, to), PLAIN, 3, from, 8000);
    assertThat(c.forward().logProb()[1]).isEqualTo(NEGATIVE_INFINITY);
    c.assertForward();
    c.assertBackward();
    float[] gradient = c.backward(ONES, null, null);
    assertThat(Arrays.copyOfRange(gradient, COLS, 2 * COLS)).containsOnly(0);
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void aRowWithoutAFiniteLogitIsNanAlone(Storage storage) {
    assertOnlyTheMiddleRowIsNan(
        Logits.normal(storage, 3, COLS, 3, 0, 5).withRow(1, NEGATIVE_INFINITY));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 17, 4095, 4096, 9000})
  void plusInfinityOrNanSpoilsItsRowAlone(int column) {
    for (Storage storage : Storage.values()) {
      for (float poison : new float[] {NaN, POSITIVE_INFINITY}) {
        assertOnlyTheMiddleRowIsNan(
            Logits.normal(storage, 3, COLS, 3, 0, 5).with(1, column, poison));
      }
    }
  }

  /**
   * With the target at the middle row's column 17 and with it elsewhere, with softcap and without.
   */
  private static void assertOnlyTheMiddleRowIsNan(Logits logits) {
    Logits clean = Logits.normal(logits.storage(), 3, COLS, 3, 0, 5);
    for (int target : new int[] {17, 5000}) {
      for (ReferenceSoftmax softmax : new ReferenceSoftmax[] {PLAIN, PLAIN.withSoftcap(5)}) {
        LogProbCase c = LogProbCase.of(logits, softmax, 3, target, 8000);
        LogProbCase.Outputs out = c.forward();
        c.assertForward(out);
        assertThat(out.logProb()[1]).isNaN();
        assertThat(out.entropy()[1]).isNaN();
        LogProbCase.Outputs expected = c.withLogits(clean).forward();
        for (int row : new int[] {0, 2}) {
          assertThat(out.logProb()[row]).isEqualTo(expected.logProb()[row]);
          assertThat(out.entropy()[row]).isEqualTo(expected.entropy()[row]);
        }
        float[] gradient = c.backward(ONES, ONES, ONES);
        assertThat(gradient[COLS + target]).isNaN();
        assertThat(countNonFinite(gradient, 0)).isZero();
        assertThat(countNonFinite(gradient, 2)).isZero();
      }
    }
  }

  private static int countNonFinite(float[] gradient, int row) {
    int count = 0;
    for (int j = 0; j < COLS; j++) {
      count += Float.isFinite(gradient[row * COLS + j]) ? 0 : 1;
    }
    return count;
  }

  @ParameterizedTest
  @ValueSource(floats = {NaN, POSITIVE_INFINITY})
  void aPoisonedRowMakesItsDivergenceAndTheLossNanButNoOtherRow(float poison) {
    Logits student = Logits.normal(3, COLS, 6);
    Logits teacher = Logits.normal(3, COLS, 7);
    for (ReferenceDivergence kind : DivergenceAccuracyTest.kinds().toList()) {
      DivergenceCase clean = DivergenceCase.of(kind, student, teacher, PLAIN);
      for (DivergenceCase c :
          new DivergenceCase[] {
            clean.withLogits(student.with(1, 4100, poison), teacher),
            clean.withLogits(student, teacher.with(1, 4100, poison))
          }) {
        DivergenceCase.Outputs out = c.run();
        assertThat(out.value()[1]).isNaN();
        assertThat(out.loss()).isNaN();
        assertThat(out.value()[0]).isEqualTo(clean.run().value()[0]);
        assertThat(out.value()[2]).isEqualTo(clean.run().value()[2]);
        assertThat(out.gradient()[COLS - 1]).isEqualTo(clean.run().gradient()[COLS - 1]);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(floats = {0, -1, NaN, POSITIVE_INFINITY})
  void aTemperatureThatIsNotFiniteAndPositiveIsRefused(float temperature) {
    assertThatThrownBy(() -> LogProb.atTemperature(temperature))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("temperature")
        .hasMessageContaining(Float.toString(temperature).replace(".0", ""));
  }

  @ParameterizedTest
  @ValueSource(floats = {0, -1, NaN, POSITIVE_INFINITY})
  void aRowsTemperatureThatIsNotFiniteAndPositiveIsRefused(float temperature) {
    LogProbCase c =
        LogProbCase.of(Logits.normal(2, 9, 1), PLAIN, 1, 2).withRowTemperature(1, temperature);
    assertThatThrownBy(c::forward).hasMessageContaining("temperature");
  }

  @Test
  void theMeanLogitAveragesFiniteKeptColumns() {
    boolean[] keep = {true, false, true, true};
    Logits logits = Logits.of(Storage.F32, 1, 4, 1, 5, NEGATIVE_INFINITY, 4);
    LogProbCase c = LogProbCase.of(logits, PLAIN.withKeep(keep), 0);
    assertThat(c.forward().meanLogit()[0]).isEqualTo(2.5f);
    c.assertForward();
    c.assertBackward();
  }

  @Test
  void manyRandomHolesMeetTheBar() {
    boolean[] holes = Noise.of(9).booleans(COLS, 0.9);
    Logits logits = Logits.normal(1, COLS, 10);
    float[] values = logits.values().clone();
    for (int j = 1; j < COLS; j++) {
      values[j] = holes[j] ? NEGATIVE_INFINITY : values[j];
    }
    LogProbCase c = LogProbCase.of(logits.with(values), PLAIN, 0);
    c.assertForward();
    c.assertBackward();
  }
}
