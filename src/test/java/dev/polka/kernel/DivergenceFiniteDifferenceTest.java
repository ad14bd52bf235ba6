package dev.polka.kernel;

import dev.polka.reference.Accuracy;
import dev.polka.reference.FiniteDifference;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The student's gradient of every divergence is the finite difference of the kernel's own loss, in
 * every storage type. Logits lie on a grid whose steps bf16 holds exactly, and the teacher is so
 * far from the student in every column that no step changes the sign of p - q, where total
 * variation has no derivative.
 */
class DivergenceFiniteDifferenceTest {
  private static final double STEP = 0x1p-5;

  /** Rounding of an f32 value, 2e-7, over the step, on the scale of the value. */
  private static final double BAR = 3e-5;

  private static final int COLS = 11;

  static Stream<Arguments> kindsAndTypes() {
    return DivergenceAccuracyTest.kindsAndTypes();
  }

  private static Logits student(Storage storage) {
    return onGrid(Logits.normal(storage, 2, COLS, 0.3, 0, 61));
  }

  private static Logits teacher(Storage storage) {
    float[] values = student(storage).values().clone();
    for (int i = 0; i < values.length; i++) {
      values[i] += i % 2 == 0 ? 1 : -0.75f;
    }
    return Logits.of(storage, 2, COLS, values);
  }

  private static Logits onGrid(Logits logits) {
    float[] values = logits.values().clone();
    for (int i = 0; i < values.length; i++) {
      values[i] = Math.round(values[i] * 16) / 16f;
    }
    return logits.with(values);
  }

  private static void assertGradient(DivergenceCase c) {
    Logits at = c.student();
    double[] expected =
        FiniteDifference.gradient(
            z -> c.withLogits(at.with(Storage.toF32(z)), c.teacher()).run().loss(),
            Storage.widen(at.values()),
            STEP);
    DivergenceCase.Outputs out = c.run();
    double scale = Math.max(1, Math.max(Math.abs(out.value()[0]), Math.abs(out.value()[1])));
    for (int i = 0; i < expected.length; i++) {
      double bound = BAR * scale + at.storage().halfUlp(expected[i]);
      Accuracy.assertWithin("element " + i, out.gradient()[i], expected[i], bound);
    }
  }

  private static DivergenceCase of(
      ReferenceDivergence kind, Storage storage, ReferenceSoftmax softmax) {
    return DivergenceCase.of(kind, student(storage), teacher(storage), softmax)
        .withWeight(1, -0.5f)
        .withDivisor(2);
  }

  @ParameterizedTest
  @MethodSource("kindsAndTypes")
  void everyKindAtTheStudentsTemperatureAndAtTwo(ReferenceDivergence kind, Storage storage) {
    assertGradient(of(kind, storage, ReferenceSoftmax.PLAIN));
    assertGradient(of(kind, storage, ReferenceSoftmax.at(2).withSoftcap(6)));
    assertGradient(of(kind, storage, ReferenceSoftmax.PLAIN).withTeacherTemperature(0.8f));
  }

  @ParameterizedTest
  @MethodSource("kindsAndTypes")
  void everyKindAgainstAMixtureWithReferenceLogits(ReferenceDivergence kind, Storage storage) {
    Logits reference = onGrid(Logits.normal(storage, 2, COLS, 0.2, 0, 67));
    for (float lambda : new float[] {0.75f, 1.25f}) {
      assertGradient(of(kind, storage, ReferenceSoftmax.PLAIN).withReference(reference, lambda));
    }
  }

  @ParameterizedTest
  @MethodSource("kindsAndTypes")
  void everyKindAgainstSoftTargetsOfAnyMass(ReferenceDivergence kind, Storage storage) {
    Logits logits = teacher(storage);
    for (float shift : new float[] {-2, -5}) {
      float[] weights = logits.values().clone();
      for (int i = 0; i < weights.length; i++) {
        weights[i] += shift;
      }
      assertGradient(
          of(kind, storage, ReferenceSoftmax.PLAIN)
              .withLogits(student(storage), logits.with(weights))
              .withTeacherLogWeights());
    }
  }

  @ParameterizedTest
  @MethodSource("kindsAndTypes")
  void everyKindOnTheColumnsOfBoth(ReferenceDivergence kind, Storage storage) {
    float[] values = teacher(storage).values();
    Logits narrow =
        Logits.of(
            storage,
            2,
            4,
            values[0],
            values[1],
            values[2],
            values[3],
            values[11],
            values[12],
            values[13],
            values[14]);
    assertGradient(
        of(kind, storage, ReferenceSoftmax.PLAIN)
            .withLogits(student(storage), narrow)
            .withCommonPrefix());
  }
}
