package dev.polka.distill;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.TokenLayout;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The methods that make advantages of sampled tokens, with numbers that are exact in binary. */
class SampledTokenTest {
  private static final double NAN = Double.NaN;

  /** Two tokens around a masked row, a sequence that does not count, an empty one, one token. */
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(3, 1, 0, 1).withMask(true, false, true, false, true);

  private static final double[] STUDENT = {-1, NAN, -2, NAN, -0.5};
  private static final double[] TEACHER = {-2, NAN, 0, NAN, -1};

  interface Method {
    double[] advantages(TokenLayout layout, double[] student, double[] teacher);
  }

  static Stream<Method> methods() {
    return Stream.of(
        (layout, s, t) -> OnPolicyDistillation.of(1).advantages(layout, s, TeacherLogProbs.of(t)),
        (layout, s, t) ->
            OnPolicyDistillation.of(2)
                .withDiscount(0.5)
                .advantages(layout, s, TeacherLogProbs.of(t)),
        MiniLlm.of(0.5)::advantages,
        MiniLlm.of(1).withoutLengthNormalization()::advantages,
        new ImportanceWeightedDistillation(0.5)::advantages);
  }

  @Test
  void aTokenAnswersForItself() {
    assertThat(
            OnPolicyDistillation.of(0.5).advantages(LAYOUT, STUDENT, TeacherLogProbs.of(TEACHER)))
        .containsExactly(-0.5, 0, 1, 0, -0.25);
  }

  @Test
  void aDiscountPassesOverMaskedRows() {
    assertThat(
            OnPolicyDistillation.of(1)
                .withDiscount(0.25)
                .advantages(LAYOUT, STUDENT, TeacherLogProbs.of(TEACHER)))
        .containsExactly(-0.5, 0, 2, 0, -0.5);
  }

  @Test
  void teachersAddUpWhereTheyTeach() {
    var first = TeacherLogProbs.of(TEACHER).withWeight(0.5);
    var second =
        TeacherLogProbs.of(-5, NAN, NAN, NAN, NAN)
            .withRows(true, true, false, true, false)
            .withWeight(2);

    assertThat(OnPolicyDistillation.of(1).advantages(LAYOUT, STUDENT, first, second))
        .containsExactly(-8.5, 0, 1, 0, -0.25);
  }

  @Test
  void aTeacherOfNoRowAndOneWithoutWeightAreNotRead() {
    double[] nothing = {NAN, NAN, NAN, NAN, NAN};

    assertThat(
            OnPolicyDistillation.of(1)
                .advantages(
                    LAYOUT,
                    STUDENT,
                    TeacherLogProbs.of(nothing).withRows(new boolean[5]),
                    TeacherLogProbs.of(nothing).withWeight(0)))
        .containsOnly(0);
  }

  @Test
  void aScaleGoesBeyondTheTeacher() {
    double[] reference = {-1, NAN, -1, NAN, -3};

    assertThat(
            OnPolicyDistillation.of(1)
                .withReference(reference, 2)
                .advantages(LAYOUT, STUDENT, TeacherLogProbs.of(TEACHER)))
        .containsExactly(-2, 0, 3, 0, 1.5);
  }

  @Test
  void atScaleOneTheReferenceDoesNotMatter() {
    double[] reference = {NAN, NAN, NAN, NAN, NAN};

    assertThat(
            OnPolicyDistillation.of(1)
                .withReference(reference, 1)
                .advantages(LAYOUT, STUDENT, TeacherLogProbs.of(TEACHER)))
        .containsExactly(-1, 0, 2, 0, -0.5);
  }

  @Test
  void distillationIsAddedToTheAdvantagesOfATask() {
    double[] task = {1, NAN, 1, NAN, -2};

    assertThat(
            OnPolicyDistillation.of(1).addedTo(task, LAYOUT, STUDENT, TeacherLogProbs.of(TEACHER)))
        .containsExactly(0, 0, 3, 0, -2.5);
  }

  @Test
  void miniLlmDividesByTheDiscountedLength() {
    assertThat(MiniLlm.of(1).advantages(LAYOUT, STUDENT, TEACHER))
        .containsExactly(0.5, 0, 2, 0, -0.5);
    // (-1 + 1/3 2) / (1 + 1/3)
    assertThat(MiniLlm.of(1.0 / 3).advantages(LAYOUT, STUDENT, TEACHER)[0])
        .isCloseTo(-0.25, within(1e-15));
  }

  @Test
  void miniLlmSumsWithoutNormalisation() {
    assertThat(MiniLlm.of(0.25).withoutLengthNormalization().advantages(LAYOUT, STUDENT, TEACHER))
        .containsExactly(-0.5, 0, 2, 0, -0.5);
  }

  @Test
  void miniLlmAtGammaZeroIsOnPolicyDistillation() {
    assertThat(MiniLlm.of(0).advantages(LAYOUT, STUDENT, TEACHER))
        .containsExactly(
            OnPolicyDistillation.of(1).advantages(LAYOUT, STUDENT, TeacherLogProbs.of(TEACHER)));
  }

  @Test
  void weightsFallWithWhatWasDisagreedOnBefore() {
    TokenLayout layout = TokenLayout.ofLengths(4).withMask(true, true, false, true);
    double[] student = {-1, -4, NAN, -3};
    double[] teacher = {-3, -3, NAN, -2};
    var method = new ImportanceWeightedDistillation(0.5);

    assertThat(method.weights(layout, student, teacher)).containsExactly(1.5, 1.25, 0, 1.125);
    assertThat(method.advantages(layout, student, teacher)).containsExactly(-3, 1.25, 0, 1.125);
  }

  @Test
  void withoutDisagreementEveryWeightIsTheFirst() {
    assertThat(
            new ImportanceWeightedDistillation(0.5)
                .weights(TokenLayout.ofLengths(2), new double[] {-1, -2}, new double[] {-1, -2}))
        .containsExactly(1.5, 1.5);
  }

  @Test
  void aTinyDisagreementIsWeighedLikeALargeOne() {
    assertThat(
            new ImportanceWeightedDistillation(1)
                .weights(
                    TokenLayout.ofLengths(2), new double[] {0, 0}, new double[] {-1e-12, -1e-12}))
        .containsExactly(2, 1.5);
  }

  @ParameterizedTest
  @MethodSource("methods")
  void whatAMaskHidesChangesNothing(Method method) {
    double[] expected =
        method.advantages(
            LAYOUT, new double[] {-1, 7, -2, -8, -0.5}, new double[] {-2, -3, 0, 5, -1});

    assertThat(method.advantages(LAYOUT, STUDENT, TEACHER)).containsExactly(expected);
    assertThat(expected[1]).isZero();
    assertThat(expected[2]).isNotZero();
  }

  @ParameterizedTest
  @MethodSource("methods")
  void aBatchWithoutTokensGivesZeros(Method method) {
    TokenLayout masked = TokenLayout.ofLengths(2).withMask(false, false);

    assertThat(method.advantages(masked, new double[] {NAN, NAN}, new double[] {NAN, NAN}))
        .containsExactly(0, 0);
    assertThat(method.advantages(TokenLayout.ofLengths(), new double[0], new double[0])).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("methods")
  void aStudentThatIsTheTeacherHasNothingToLearn(Method method) {
    double[] same = {-1, NAN, -0.3, NAN, -7};

    assertThat(method.advantages(LAYOUT, same, same)).containsOnly(0);
  }

  @ParameterizedTest
  @MethodSource("methods")
  void aLogProbThatIsNotFiniteIsNamed(Method method) {
    double[] impossible = {-2, NAN, Double.NEGATIVE_INFINITY, NAN, -1};

    assertThatThrownBy(() -> method.advantages(LAYOUT, STUDENT, impossible))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("teacher: -Infinity at row 2 is not finite");
    assertThatThrownBy(() -> method.advantages(LAYOUT, impossible, TEACHER))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("student: -Infinity at row 2 is not finite");
  }

  @ParameterizedTest
  @MethodSource("methods")
  void sizesThatDoNotFitAreNamed(Method method) {
    assertThatThrownBy(() -> method.advantages(LAYOUT, STUDENT, new double[4]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("teacher: has 4 elements, 5 (one per row) are needed");
  }

  @Test
  void optionsOutOfRangeAreNamed() {
    assertThatThrownBy(() -> OnPolicyDistillation.of(NAN))
        .hasMessage("coefficient: NaN is not finite");
    assertThatThrownBy(() -> OnPolicyDistillation.of(1).withDiscount(1.5))
        .hasMessage("discount: 1.5 is outside [0, 1]");
    assertThatThrownBy(() -> MiniLlm.of(-1)).hasMessage("gamma: -1.0 is outside [0, 1]");
    assertThatThrownBy(() -> new ImportanceWeightedDistillation(-1))
        .hasMessage("gamma: -1.0 is not finite and >= 0");
    assertThatThrownBy(() -> TeacherLogProbs.of(1, 2).withWeight(-1))
        .hasMessage("weight: -1.0 is not finite and >= 0");
    assertThatThrownBy(() -> TeacherLogProbs.of(1, 2).withRows(true))
        .hasMessage("rows: has 1 elements, 2 (one per row) are needed");
    assertThatThrownBy(() -> OnPolicyDistillation.of(1).advantages(LAYOUT, STUDENT))
        .hasMessage("teachers: there are none");
  }
}
