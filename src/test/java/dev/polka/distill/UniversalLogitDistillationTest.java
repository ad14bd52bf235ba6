package dev.polka.distill;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.reference.FiniteDifference;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class UniversalLogitDistillationTest {
  private static final UniversalLogitDistillation ULD = new UniversalLogitDistillation(1);

  private static double[] logs(double... p) {
    return Arrays.stream(p).map(Math::log).toArray();
  }

  /** No two columns alike, and none like those of another seed. */
  private static double[] logits(int width, double seed) {
    double[] logits = new double[width];
    Arrays.setAll(logits, v -> 2 * Math.sin(seed + 1.7 * v));
    return logits;
  }

  /** The definition, by lists: pads, sorts in falling order, sums. */
  private static double reference(double[] student, double[] teacher, double temperature) {
    List<Double> p = falling(student, temperature, Math.max(student.length, teacher.length));
    List<Double> q = falling(teacher, temperature, Math.max(student.length, teacher.length));
    double sum = 0;
    for (int rank = 0; rank < p.size(); rank++) {
      sum += Math.abs(p.get(rank) - q.get(rank));
    }
    return sum;
  }

  private static List<Double> falling(double[] logits, double temperature, int width) {
    double total = Arrays.stream(logits).map(z -> Math.exp(z / temperature)).sum();
    return DoubleStream.concat(
            Arrays.stream(logits).map(z -> Math.exp(z / temperature) / total),
            DoubleStream.generate(() -> 0).limit(width - logits.length))
        .boxed()
        .sorted(Comparator.reverseOrder())
        .toList();
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "7, 7, 1", "50, 300, 0.5", "300, 50, 2"})
  void theValueIsThatOfTheDefinition(int width, int teacherWidth, double temperature) {
    double[] student = logits(width, 0.3);
    double[] teacher = logits(teacherWidth, 1.1);
    var uld = new UniversalLogitDistillation(temperature);

    assertThat(uld.forward(student, teacher))
        .isCloseTo(reference(student, teacher, temperature), within(1e-12))
        .isCloseTo(uld.forward(teacher, student), within(1e-12))
        .isBetween(0.0, 2.0);
  }

  @Test
  void probabilitiesAreComparedByRank() {
    // (0.6, 0.3, 0.1) beside (0.5, 0.3, 0.2)
    assertThat(ULD.forward(logs(0.1, 0.6, 0.3), logs(0.3, 0.2, 0.5))).isCloseTo(0.2, within(1e-12));
  }

  @Test
  void theNarrowerVocabularyIsPaddedByZeros() {
    // (0.75, 0.25) beside (0.5, 0.25, 0.25)
    double[] narrow = logs(0.25, 0.75);
    double[] wide = logs(0.25, 0.5, 0.25);

    assertThat(ULD.forward(narrow, wide)).isCloseTo(0.5, within(1e-12));
    assertThat(ULD.forward(wide, narrow)).isCloseTo(0.5, within(1e-12));
  }

  @Test
  void theGradientByHand() {
    // Signs (-, +, +), whose mean is 1/2: 0.25 is below 0.4375, of the same rank.
    double[] gradient = new double[3];

    double value =
        ULD.forwardBackward(logs(0.25, 0.625, 0.125), logs(0.5, 0.4375, 0.0625), 2, gradient);

    assertThat(value).isCloseTo(0.375, within(1e-12));
    assertThat(gradient).containsExactly(new double[] {-0.75, 0.625, 0.125}, within(1e-12));
  }

  @ParameterizedTest
  @CsvSource({"7, 7, 1", "7, 11, 1", "11, 7, 1", "7, 7, 0.5", "5, 9, 3"})
  void theGradientIsThatOfFiniteDifferences(int width, int teacherWidth, double temperature) {
    var uld = new UniversalLogitDistillation(temperature);
    double[] student = logits(width, 0.3);
    double[] teacher = logits(teacherWidth, 1.1);
    double[] gradient = new double[width];

    uld.forwardBackward(student, teacher, 1, gradient);

    assertThat(gradient)
        .containsExactly(
            FiniteDifference.gradient(z -> uld.forward(z, teacher), student, 1e-4), within(1e-9));
    assertThat(Arrays.stream(gradient).map(Math::abs).max().orElseThrow()).isGreaterThan(1e-3);
  }

  @Test
  void bothVerbsGiveTheSameValue() {
    double[] student = logits(9, 0.3);
    double[] teacher = logits(6, 1.1);

    assertThat(ULD.forwardBackward(student, teacher, 1, new double[9]))
        .isEqualTo(ULD.forward(student, teacher));
  }

  @Test
  void theOrderOfColumnsDoesNotMatter() {
    double[] teacher = logits(5, 1.1);
    double[] gradient = new double[4];
    double[] reversed = new double[4];

    double value = ULD.forwardBackward(new double[] {1, 0, 1, -2}, teacher, 1, gradient);
    double same = ULD.forwardBackward(new double[] {-2, 1, 0, 1}, teacher, 1, reversed);

    assertThat(same).isCloseTo(value, within(1e-15));
    assertThat(reversed)
        .containsExactly(
            new double[] {gradient[3], gradient[0], gradient[1], gradient[2]}, within(1e-15));
  }

  @Test
  void theSameProbabilitiesInAnotherOrderHaveNothingToLearn() {
    double[] gradient = {9, 9, 9};

    assertThat(ULD.forwardBackward(new double[] {1, 0, 2}, new double[] {2, 1, 0}, 1, gradient))
        .isCloseTo(0, within(1e-15));
  }

  @Test
  void aStudentThatIsTheTeacherHasNoGradient() {
    double[] gradient = {9, 9, 9};
    double[] same = {1, 0, 2};

    assertThat(ULD.forwardBackward(same, same, 1, gradient)).isZero();
    assertThat(gradient).containsOnly(0);
  }

  @Test
  void aColumnAtMinusInfinityHasNoGradient() {
    double[] gradient = {9, 9, 9};

    ULD.forwardBackward(
        new double[] {1, Double.NEGATIVE_INFINITY, 0}, new double[] {0, 3}, 1, gradient);

    assertThat(gradient[1]).isZero();
    assertThat(gradient[0] + gradient[2]).isCloseTo(0, within(1e-15));
    assertThat(gradient[0]).isNegative();
  }

  @Test
  void badInputIsNamed() {
    double[] two = {0, 1};

    assertThatThrownBy(() -> ULD.forward(two, new double[0]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("teacher: none of the 0 columns is above -Infinity");
    assertThatThrownBy(() -> ULD.forwardBackward(two, two, 1, new double[3]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("gradient: has 3 columns, the student 2");
    assertThatThrownBy(() -> ULD.forwardBackward(two, two, Double.NaN, new double[2]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("weight: NaN is not finite");
    assertThatThrownBy(() -> new UniversalLogitDistillation(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("temperature: 0.0 is not finite and > 0");
  }
}
