package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.DType;
import dev.polka.memory.Doubles;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceGroupAdvantage;
import dev.polka.reference.ReferenceGroupAdvantage.Scale;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Group-relative advantages against the f64 reference. */
class GroupAdvantageAccuracyTest {
  private static final long[] RAGGED = {0, 0, 1, 3, 10, 10, 26, 27, 64};

  static Stream<ReferenceGroupAdvantage> options() {
    return Stream.of(true, false)
        .flatMap(
            leaveOneOut ->
                Stream.of(Scale.values())
                    .flatMap(
                        scale ->
                            Stream.of(
                                new ReferenceGroupAdvantage(leaveOneOut, scale, 1e-6, false, false),
                                new ReferenceGroupAdvantage(leaveOneOut, scale, 1e-4, true, true),
                                new ReferenceGroupAdvantage(leaveOneOut, scale, 0, false, true))));
  }

  private static double[] rewards() {
    double[] rewards = new double[64];
    for (int i = 0; i < 64; i++) {
      rewards[i] = i % 11 == 4 ? Double.NaN : (float) Noise.of(3).normal(i);
    }
    return rewards;
  }

  @ParameterizedTest
  @MethodSource("options")
  void everyOptionGivesTheReferencesAdvantages(ReferenceGroupAdvantage options) {
    GroupAdvantageCase c = new GroupAdvantageCase(options, rewards(), RAGGED);
    double[] expected = c.expected();
    double[] f64 = c.runF64();
    float[] f32 = c.runF32();
    for (int i = 0; i < expected.length; i++) {
      Accuracy.assertWithin(
          "f64 advantage " + i, f64[i], expected[i], 1e-13 * Math.max(1, Math.abs(expected[i])));
      Accuracy.assertTerm("f32 advantage " + i, f32[i], expected[i], 1);
    }
  }

  @Test
  void theStatisticsOfAGroupAreThoseOfItsFiniteRewards() {
    double[] rewards = {1, Double.NaN, 3, 5, 2, 2, Double.NaN};
    long[] offsets = {0, 4, 6, 6, 7};
    try (Doubles in = Doubles.copyOf(rewards);
        GroupAdvantageResult out = GroupAdvantageResult.allocate(in.placement(), DType.F64, 7, 4)) {
      GroupAdvantage.grpo().forward(in, Groups.ofOffsets(Longs.copyOf(offsets)), out);

      assertThat(out.mean().toArray()).containsExactly(3, 2, Double.NaN, Double.NaN);
      assertThat(out.std().get(0)).isEqualTo(2);
      assertThat(out.std().get(1)).isEqualTo(0);
      assertThat(out.finiteCount().toArray()).containsExactly(3, 2, 0, 0);
      assertThat(out.zeroVariance().toArray()).containsExactly(0, 1, 1, 1);
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {1e-300, 1e-30, 1, 1e30, 1e300})
  void theStandardDeviationSurvivesAnyMagnitude(double unit) {
    ReferenceGroupAdvantage options =
        new ReferenceGroupAdvantage(false, Scale.UNBIASED, 0, false, false);
    double[] rewards = {unit, 2 * unit, 3 * unit};
    double[] advantages = new GroupAdvantageCase(options, rewards, new long[] {0, 3}).runF64();
    Accuracy.assertWithin("first", advantages[0], -1, 1e-14);
    Accuracy.assertWithin("second", advantages[1], 0, 1e-14);
    Accuracy.assertWithin("third", advantages[2], 1, 1e-14);
  }

  @Test
  void anInfiniteRewardIsRefused() {
    ReferenceGroupAdvantage options =
        new ReferenceGroupAdvantage(false, Scale.NONE, 0, false, false);
    GroupAdvantageCase c =
        new GroupAdvantageCase(
            options, new double[] {1, Double.POSITIVE_INFINITY}, new long[] {0, 2});
    assertThatThrownBy(c::runF64).hasMessageContaining("rewards").hasMessageContaining("1");
  }

  @Test
  void groupsThatDoNotCoverTheRewardsAreRefused() {
    ReferenceGroupAdvantage options =
        new ReferenceGroupAdvantage(false, Scale.NONE, 0, false, false);
    for (long[] offsets : new long[][] {{0, 1}, {0, 3}, {1, 2}, {0, 2, 1, 2}}) {
      GroupAdvantageCase c = new GroupAdvantageCase(options, new double[] {1, 2}, offsets);
      assertThatThrownBy(c::runF64).isInstanceOf(IllegalArgumentException.class);
    }
  }

  @Test
  void equalGroupsCanBeGivenByTheirSize() {
    try (Doubles rewards = Doubles.copyOf(1, 2, 3, 10, 20, 30);
        Doubles advantages = GroupAdvantage.drGrpo().forward(rewards, Groups.ofSize(3))) {
      assertThat(advantages.toArray()).containsExactly(-1, 0, 1, -10, 0, 10);
    }
  }
}
