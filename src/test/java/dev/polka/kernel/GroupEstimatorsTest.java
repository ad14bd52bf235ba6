package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.Doubles;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceGroupEstimators;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The group estimators beyond GRPO and RLOO. */
class GroupEstimatorsTest {
  private static final double[] LENGTHS = Noise.of(77).doubles(64, 1, 900);

  /** One group whose members weigh what they are long. */
  private static double[] advantages(GroupAdvantage operation, double... rewards) {
    try (Doubles in = Doubles.copyOf(rewards);
        Doubles weights = Doubles.copyOf(Arrays.copyOf(LENGTHS, rewards.length));
        Doubles out =
            operation.forward(
                in, Groups.ofSize(Math.max(rewards.length, 1)).withWeights(weights))) {
      return out.toArray();
    }
  }

  private static double[] unweighted(GroupAdvantage operation, double... rewards) {
    try (Doubles in = Doubles.copyOf(rewards);
        Doubles out = operation.forward(in, Groups.ofSize(rewards.length))) {
      return out.toArray();
    }
  }

  static Stream<Arguments> estimators() {
    return Stream.of(
        estimator(
            GroupAdvantage.grpoLeaveOneOut(), r -> ReferenceGroupEstimators.leaveOneOut(1e-6, r)),
        estimator(GroupAdvantage.opo(), r -> ReferenceGroupEstimators.opo(lengths(r), r)),
        estimator(GroupAdvantage.maxRl(), ReferenceGroupEstimators::maxRl),
        estimator(GroupAdvantage.passAtK(), r -> ReferenceGroupEstimators.passAtK(1e-6, r)));
  }

  private static double[] lengths(double[] rewards) {
    return Arrays.copyOf(LENGTHS, rewards.length);
  }

  private static Arguments estimator(GroupAdvantage kernel, UnaryOperator<double[]> reference) {
    return Arguments.of(kernel, reference);
  }

  @ParameterizedTest
  @MethodSource("estimators")
  void everyEstimatorGivesTheReferencesAdvantages(
      GroupAdvantage kernel, UnaryOperator<double[]> reference) {
    for (int n = 2; n <= 64; n++) {
      double[] continuous = Noise.of(n).doubles(n, -1, 2);
      double[] binary = Arrays.stream(continuous).map(r -> r > 0.5 ? 1 : 0).toArray();
      binary[0] = 1 - binary[1];
      for (double[] rewards : new double[][] {continuous, binary}) {
        double[] expected = reference.apply(rewards);
        double[] actual = advantages(kernel, rewards);
        for (int i = 0; i < n; i++) {
          String what = "advantage " + i + " of " + n;
          double bound = 1e-12 * Math.max(1, Math.abs(expected[i]));
          Accuracy.assertWithin(what, actual[i], expected[i], bound);
        }
      }
    }
  }

  @Test
  void theSoftMeanLiesBetweenTheMeanAndTheBest() {
    double[] rewards = {0.2, 1.5, -0.3};
    for (double beta : new double[] {-3, -0.1, 0.1, 0.5, 4}) {
      double[] expected = ReferenceGroupEstimators.softMean(beta, rewards);
      double[] actual = unweighted(GroupAdvantage.softMean(beta), rewards);
      for (int i = 0; i < 3; i++) {
        assertThat(actual[i]).isCloseTo(expected[i], within(1e-13));
      }
    }
    assertThat(unweighted(GroupAdvantage.softMean(1e5), rewards)[1])
        .isCloseTo(Math.log(3) / 1e5, within(1e-12));
    assertThat(unweighted(GroupAdvantage.softMean(1e-12), rewards)[0])
        .isCloseTo(unweighted(GroupAdvantage.drGrpo(), rewards)[0], within(1e-9));
  }

  @ParameterizedTest
  @MethodSource("estimators")
  void equalRewardsGiveExactlyZero(GroupAdvantage kernel, UnaryOperator<double[]> unused) {
    for (int n = 2; n <= 64; n++) {
      for (int hundredth = 1; hundredth <= 100; hundredth++) {
        double[] rewards = new double[n];
        Arrays.fill(rewards, hundredth / 100.0);
        assertThat(advantages(kernel, rewards)).containsOnly(0);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("estimators")
  void aNanRewardStandsOutside(GroupAdvantage kernel, UnaryOperator<double[]> reference) {
    double[] with = advantages(kernel, 0.25, 2, 1, Double.NaN);
    double[] without = advantages(kernel, 0.25, 2, 1);

    assertThat(with[3]).isZero();
    assertThat(Arrays.copyOf(with, 3)).isEqualTo(without);
  }

  @ParameterizedTest
  @MethodSource("estimators")
  void aSingletonFollowsItsPolicy(GroupAdvantage kernel, UnaryOperator<double[]> unused) {
    assertThat(advantages(kernel, 0.7)).containsExactly(0);
    assertThat(advantages(kernel.withSingleton(Singleton.RAW), 0.7)[0])
        .isCloseTo(0.7, within(1e-6));
    assertThatThrownBy(() -> advantages(kernel.withSingleton(Singleton.ERROR), 0.7))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void oneOddRewardDoesNotSpike() {
    for (double v : new double[] {0.98, 1, 12.84}) {
      for (int n : new int[] {3, 16, 64}) {
        double[] rewards = new double[n];
        Arrays.fill(rewards, v);
        rewards[n / 3] = 0;
        double[] actual = advantages(GroupAdvantage.grpoLeaveOneOut(), rewards);
        assertThat(actual[n / 3]).isCloseTo(-v, within(1e-13 * v));
        for (double a : actual) {
          assertThat(Math.abs(a)).isLessThan(13);
        }
      }
    }
  }

  @Test
  void aGivenStandardDeviationIsThatOfTheBatch() {
    GroupAdvantage batch =
        GroupAdvantage.grpo().withBatchStd(3.5).withEpsilon(0.5, EpsilonPlacement.OUTSIDE);

    assertThat(unweighted(batch, 1, 3)).containsExactly(-0.25, 0.25);
    assertThatThrownBy(() -> batch.withBatchStd(-1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("std: -1.0 is not finite and >= 0");
  }

  @Test
  void anAnswerWithoutWeightDoesNotMoveTheBaseline() {
    try (Doubles rewards = Doubles.copyOf(1, 3, 100);
        Doubles weights = Doubles.copyOf(1, 1, 0);
        Doubles out =
            GroupAdvantage.opo().forward(rewards, Groups.ofSize(3).withWeights(weights))) {
      assertThat(out.toArray()).containsExactly(-1, 1, 98);
    }
  }

  @Test
  void aGroupWithoutAnyWeightGetsZero() {
    try (Doubles rewards = Doubles.copyOf(1, 3);
        Doubles weights = Doubles.copyOf(0, 0);
        Doubles out =
            GroupAdvantage.opo().forward(rewards, Groups.ofSize(2).withWeights(weights))) {
      assertThat(out.toArray()).containsExactly(0, 0);
    }
  }

  @Test
  void aWeightedMeanNeedsWeights() {
    assertThatThrownBy(() -> unweighted(GroupAdvantage.opo(), 1, 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("groups: have no weights");
  }

  @Test
  void badWeightsAreRefused() {
    Doubles rewards = Doubles.copyOf(1, 3);
    Groups negative = Groups.ofSize(2).withWeights(Doubles.copyOf(1, -1));
    Groups tooFew = Groups.ofSize(2).withWeights(Doubles.copyOf(1));

    assertThatThrownBy(() -> GroupAdvantage.opo().forward(rewards, negative))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("weights: weight 1 is -1");
    assertThatThrownBy(() -> GroupAdvantage.opo().forward(rewards, tooFew))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("weights: has 1 elements, 2 are needed");
  }

  @Test
  void aSoftMeanWithoutABetaIsRefused() {
    assertThatThrownBy(() -> GroupAdvantage.softMean(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("beta: is 0");
  }
}
