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
        ReferenceDivergence.jsd(0.9f),
        ReferenceDivergence.skewForwardKl(0.1f),
        ReferenceDivergence.skewForwardKl(0.8f),
        ReferenceDivergence.skewReverseKl(0.1f),
        ReferenceDivergence.skewReverseKl(0.8f),
        ReferenceDivergence.totalVariation(),
        ReferenceDivergence.chiSquared(),
        ReferenceDivergence.generalizedKl(),
        ReferenceDivergence.alpha(0.3f),
        ReferenceDivergence.alpha(0.99f),
        ReferenceDivergence.alpha(-0.5f),
        ReferenceDivergence.alpha(1.5f));
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

  @ParameterizedTest
  @MethodSource("kinds")
  void aHoleInOneSideAloneIsWhatTheDefinitionSays(ReferenceDivergence kind) {
    float low = Float.NEGATIVE_INFINITY;
    Logits full = Logits.of(Storage.F32, 1, 3, 1, 2, 3);
    Logits holed = Logits.of(Storage.F32, 1, 3, 1, low, 3);
    DivergenceCase c = DivergenceCase.of(kind, full, holed, PLAIN);
    for (DivergenceCase side : new DivergenceCase[] {c, c.withLogits(holed, full)}) {
      DivergenceCase.Outputs out = side.run();
      if (Float.isInfinite((float) side.expectedValues()[0])) {
        assertThat(out.value()[0]).isEqualTo(Float.POSITIVE_INFINITY);
        assertThat(out.gradient()).containsOnly(0);
      } else {
        side.assertAll(out);
      }
    }
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
    DivergenceCase.Outputs chiSquared =
        DivergenceCase.of(ReferenceDivergence.chiSquared(), full, holed, PLAIN).run();
    assertThat(chiSquared.value()[0]).isEqualTo(Float.POSITIVE_INFINITY);
    assertThat(chiSquared.gradient()).containsOnly(0);
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

  @ParameterizedTest
  @MethodSource("kindsAndTypes")
  void aReferenceIsMixedIntoTheTeacher(ReferenceDivergence kind, Storage storage) {
    Logits reference = Logits.normal(storage, 3, 5003, 0.4, 0, 23);
    DivergenceCase c =
        DivergenceCase.of(
            kind,
            Logits.normal(storage, 3, 5003, 1, 0, 21),
            Logits.normal(storage, 3, 5003, 0.4, 0, 22),
            ReferenceSoftmax.at(0.7f));
    for (float lambda : new float[] {0, 0.25f, 1, 1.5f, 3}) {
      c.withReference(reference, lambda).assertAll();
      c.withTeacherTemperature(2).withReference(reference, lambda).assertAll();
    }
  }

  /** An offset common to a row is no part of a distribution, whatever the factors. */
  @Test
  void offsetsOfTeacherAndReferenceCostTheMixtureNoDigits() {
    Logits student = Logits.normal(Storage.F32, 2, 999, 1, 0, 21);
    Logits teacher = onGrid(Logits.normal(Storage.F32, 2, 999, 1, 1e4, 22));
    Logits reference = onGrid(Logits.normal(Storage.F32, 2, 999, 1, -1e4, 23));
    for (float lambda : new float[] {0.5f, 3}) {
      DivergenceCase.of(ReferenceDivergence.forwardKl(), student, teacher, PLAIN)
          .withReference(reference, lambda)
          .assertAll();
    }
  }

  private static Logits onGrid(Logits logits) {
    float[] values = logits.values().clone();
    for (int i = 0; i < values.length; i++) {
      values[i] = Math.round(values[i] * 64) / 64f;
    }
    return logits.with(values);
  }

  @ParameterizedTest
  @MethodSource("kindsAndTypes")
  void softTargetsNeedNotSumToOne(ReferenceDivergence kind, Storage storage) {
    Logits student = Logits.normal(storage, 3, 4500, 1, 0, 21);
    for (double mass : new double[] {-1, 0, 1}) {
      Logits weights = Logits.normal(storage, 3, 4500, 1, mass - Math.log(4500), 22);
      DivergenceCase.of(kind, student, weights, ReferenceSoftmax.at(1.5f))
          .withTeacherLogWeights()
          .assertAll();
    }
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void aColumnMaskedInTheTeacherOrItsReferenceHasNoTarget(ReferenceDivergence kind) {
    float low = Float.NEGATIVE_INFINITY;
    Logits student = Logits.of(Storage.F32, 1, 5, 1, 2, low, low, 0.5f);
    Logits teacher = Logits.of(Storage.F32, 1, 5, 0, 1, 1, low, 0);
    Logits reference = Logits.of(Storage.F32, 1, 5, 1, 0.5f, low, 2, 0);
    DivergenceCase.of(kind, student, teacher, PLAIN).withReference(reference, 1.5f).assertAll();
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void vocabulariesOfDifferentWidthMeetOnTheColumnsOfBoth(ReferenceDivergence kind) {
    Logits wide = Logits.normal(Storage.F32, 3, 5003, 1, 0, 21);
    Logits narrow = Logits.normal(Storage.F32, 3, 4700, 1, 0, 22);
    DivergenceCase.of(kind, wide, narrow, PLAIN).withCommonPrefix().assertAll();
    DivergenceCase.of(kind, narrow, wide, PLAIN).withCommonPrefix().assertAll();
    DivergenceCase.of(kind, narrow, wide, PLAIN.withValidVocab(4600)).assertAll();
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void tilesSharedOutAmongThreadsGiveTheSameBits(ReferenceDivergence kind) {
    DivergenceCase c =
        of(kind, Storage.F32, 1, 300_000, PLAIN)
            .withReference(Logits.normal(Storage.F32, 1, 300_000, 1, 0, 23), 1.5f);
    SameBits.assertSame(c.withThreads(3).run(), c.withThreads(1).run());
  }
}
