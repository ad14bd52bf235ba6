package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Matrix;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.SameBits;
import dev.polka.reference.Storage;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Values, losses and student gradients of the divergences against the f64 reference. */
class DivergenceAccuracyTest {
  static Stream<ReferenceDivergence> kinds() {
    return Stream.of(
        ReferenceDivergence.forwardKl(),
        ReferenceDivergence.reverseKl(),
        ReferenceDivergence.jsd(0.5),
        ReferenceDivergence.jsd(0.1f),
        ReferenceDivergence.jsd(0.9f));
  }

  static Stream<Arguments> kindsAndTypes() {
    return kinds().flatMap(k -> Stream.of(Storage.values()).map(s -> Arguments.of(k, s)));
  }

  private static DivergenceCase of(
      ReferenceDivergence kind, Storage storage, int rows, int cols, ReferenceSoftmax softmax) {
    return DivergenceCase.of(
        kind,
        Logits.normal(storage, rows, cols, 3, 0, 21),
        Logits.normal(storage, rows, cols, 3, 0, 22),
        softmax);
  }

  @ParameterizedTest
  @MethodSource("kindsAndTypes")
  void everyVocabularySizeMeetsTheBar(ReferenceDivergence kind, Storage storage) {
    for (int vocabulary : new int[] {1, 2, 17, 64, 1000, 4097, 8200}) {
      for (float temperature : new float[] {0.7f, 1, 2}) {
        of(kind, storage, 4, vocabulary, ReferenceSoftmax.at(temperature)).assertAll();
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void aLargeVocabularyMeetsTheBar(ReferenceDivergence kind) {
    of(kind, Storage.F32, 2, 151936, PLAIN).assertAll();
    of(kind, Storage.BF16, 2, 50257, ReferenceSoftmax.at(0.7f)).assertAll();
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void temperaturesSoftcapAndValidVocabMeetTheBar(ReferenceDivergence kind) {
    of(kind, Storage.F32, 3, 1003, ReferenceSoftmax.at(0.7f)).withTeacherTemperature(2).assertAll();
    of(kind, Storage.F32, 3, 1003, PLAIN.withSoftcap(4)).assertAll();
    of(kind, Storage.F32, 3, 1003, ReferenceSoftmax.at(2).withValidVocab(900)).assertAll();
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void weightsMasksAndDivisorShapeTheLossAndTheGradient(ReferenceDivergence kind) {
    DivergenceCase c =
        of(kind, Storage.F32, 5, 333, PLAIN)
            .withWeight(0.5f, -2, 1, 0, 3)
            .withMask(true, true, false, true, true)
            .withDivisor(3.5);
    c.assertAll();
    assertThat(c.run().value()[2]).isZero();
    assertThat(c.run().studentLse()[2]).isZero();
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void aMaskedRowMayHoldAnything(ReferenceDivergence kind) {
    DivergenceCase clean = of(kind, Storage.F32, 3, 333, PLAIN).withMask(true, false, true);
    DivergenceCase poisoned =
        clean.withLogits(
            clean.student().withRow(1, Float.NaN),
            clean.teacher().withRow(1, Float.POSITIVE_INFINITY));
    SameBits.assertSame(poisoned.run(), clean.run());
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void columnsThatBothSidesMaskCountForNothing(ReferenceDivergence kind) {
    DivergenceCase c = of(kind, Storage.F32, 3, 333, PLAIN);
    boolean[] out = Noise.of(4).booleans(333, 0.4);
    float[] student = c.student().values().clone();
    float[] teacher = c.teacher().values().clone();
    for (int i = 0; i < student.length; i++) {
      student[i] = out[i % 333] ? Float.NEGATIVE_INFINITY : student[i];
      teacher[i] = out[i % 333] ? Float.NEGATIVE_INFINITY : teacher[i];
    }
    c.withLogits(c.student().with(student), c.teacher().with(teacher)).assertAll();
  }

  @Test
  void disjointDistributionsHaveAJensenShannonDivergenceOfLnTwo() {
    float low = Float.NEGATIVE_INFINITY;
    Logits student = Logits.of(Storage.F32, 1, 4, 1, 2, low, low);
    Logits teacher = Logits.of(Storage.F32, 1, 4, low, low, 0, 3);
    DivergenceCase.Outputs out =
        DivergenceCase.of(ReferenceDivergence.jsd(0.5), student, teacher, PLAIN).run();
    assertThat(out.value()[0]).isEqualTo((float) Math.log(2));
    assertThat(out.gradient()).doesNotContain(Float.NaN);
  }

  @Test
  void aKlIsInfiniteWhereTheRightSideHasNoMassAndThenHasNoGradient() {
    float low = Float.NEGATIVE_INFINITY;
    Logits full = Logits.of(Storage.F32, 1, 3, 1, 2, 3);
    Logits holed = Logits.of(Storage.F32, 1, 3, 1, low, 3);
    DivergenceCase.Outputs forward =
        DivergenceCase.of(ReferenceDivergence.forwardKl(), holed, full, PLAIN).run();
    DivergenceCase.Outputs reverse =
        DivergenceCase.of(ReferenceDivergence.reverseKl(), full, holed, PLAIN).run();
    assertThat(forward.value()[0]).isEqualTo(Float.POSITIVE_INFINITY);
    assertThat(forward.gradient()).containsOnly(0);
    assertThat(reverse.value()[0]).isEqualTo(Float.POSITIVE_INFINITY);
    assertThat(reverse.gradient()).containsOnly(0);
    DivergenceCase.of(ReferenceDivergence.forwardKl(), full, holed, PLAIN).assertAll();
    DivergenceCase.of(ReferenceDivergence.reverseKl(), holed, full, PLAIN).assertAll();
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void theGradientInPlaceIsTheGradient(ReferenceDivergence kind) {
    DivergenceCase c = of(kind, Storage.F32, 4, 5000, ReferenceSoftmax.at(0.7f));
    try (Matrix student = c.student().matrix();
        Matrix teacher = c.teacher().matrix();
        DivergenceResult r =
            c.operation()
                .forwardBackwardInPlace(student, teacher, c.rows(), Normalizer.constant(1))) {
      assertThat(student.toArray()).isEqualTo(c.run().gradient());
      assertThat(r.value().toArray()).isEqualTo(c.run().value());
    }
  }
}
