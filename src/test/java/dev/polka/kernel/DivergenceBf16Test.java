package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Libtorch;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.Storage;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** bf16 logits cost no more digits here than in libtorch, which computes in bf16. */
class DivergenceBf16Test {
  private static final int ROWS = 4;

  static Stream<ReferenceDivergence> kinds() {
    return DivergenceAccuracyTest.kinds();
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void valuesAndGradientsAreAtMostAsFarOffAsLibtorchs(ReferenceDivergence kind) {
    for (int cols : new int[] {50, 1000, 9001}) {
      Logits student = Logits.normal(Storage.BF16, ROWS, cols, 1, 0, 81);
      Logits teacher = Logits.normal(Storage.BF16, ROWS, cols, 1, 0, 82);
      DivergenceCase c = DivergenceCase.of(kind, student, teacher, PLAIN);
      double[] expected = c.expectedValues();
      double[][] expectedGradient =
          IntStream.range(0, ROWS)
              .mapToObj(r -> kind.gradient(c.studentRow(r), c.teacherRow(r)))
              .toArray(double[][]::new);
      double[] peer =
          Libtorch.divergenceErrorsInBf16(
              kind, student.values(), teacher.values(), expected, expectedGradient);
      DivergenceCase.Outputs out = c.run();
      double value = 0;
      double gradient = 0;
      for (int r = 0; r < ROWS; r++) {
        value = Math.max(value, Math.abs(out.value()[r] - expected[r]));
        for (int j = 0; j < cols; j++) {
          double error = Math.abs(out.gradient()[r * cols + j] - expectedGradient[r][j]);
          gradient = Math.max(gradient, error);
        }
      }
      assertThat(value).as("value, %d columns", cols).isLessThanOrEqualTo(peer[0]);
      assertThat(gradient).as("gradient, %d columns", cols).isLessThanOrEqualTo(peer[1]);
    }
  }
}
