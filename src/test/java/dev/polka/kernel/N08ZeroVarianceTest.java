package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.ReferenceGroupAdvantage;
import dev.polka.reference.ReferenceGroupAdvantage.Scale;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** N8: a group of equal rewards teaches nothing, exactly; singletons follow the chosen policy. */
class N08ZeroVarianceTest {
  /** Sums of n equal f32 numbers need not divide back to that number: a third of these do not. */
  @ParameterizedTest
  @EnumSource(Scale.class)
  void equalRewardsGiveExactlyZero(Scale scale) {
    for (int n : new int[] {2, 3, 5, 7, 12, 64}) {
      for (int hundredth = 1; hundredth <= 100; hundredth++) {
        double[] rewards = new double[n];
        Arrays.fill(rewards, hundredth / 100.0);
        for (boolean leaveOneOut : new boolean[] {false, true}) {
          ReferenceGroupAdvantage options =
              new ReferenceGroupAdvantage(leaveOneOut, scale, 1e-9, false, false);
          GroupAdvantageCase c = new GroupAdvantageCase(options, rewards, new long[] {0, n});
          assertThat(c.runF64()).containsOnly(0);
          assertThat(c.runF32()).containsOnly(0);
        }
      }
    }
  }

  static Stream<GroupAdvantage> presets() {
    return Stream.of(
        GroupAdvantage.grpo(),
        GroupAdvantage.grpoLeaveOneOut(),
        GroupAdvantage.drGrpo(),
        GroupAdvantage.rloo(),
        GroupAdvantage.opo(),
        GroupAdvantage.maxRl(),
        GroupAdvantage.passAtK(),
        GroupAdvantage.softMean(0.7));
  }

  /** Every size from 2 to 64 in one call, every reward from 0.01 to 1.00. */
  @ParameterizedTest
  @MethodSource("presets")
  void everyPresetGivesEqualRewardsExactlyZero(GroupAdvantage preset) {
    long[] offsets = new long[64];
    for (int n = 2; n <= 64; n++) {
      offsets[n - 1] = offsets[n - 2] + n;
    }
    double[] equal = new double[(int) offsets[63]];
    double[] weights = new double[equal.length];
    Arrays.setAll(weights, i -> 1 + i % 7);
    try (Doubles lengths = Doubles.copyOf(weights);
        Longs at = Longs.copyOf(offsets)) {
      Groups groups = Groups.ofOffsets(at);
      for (int hundredth = 1; hundredth <= 100; hundredth++) {
        Arrays.fill(equal, hundredth / 100.0);
        try (Doubles rewards = Doubles.copyOf(equal);
            Doubles advantages = preset.forward(rewards, groups.withWeights(lengths))) {
          assertThat(advantages.toArray()).containsOnly(0);
        }
      }
    }
  }

  @Test
  void aNanRewardStandsOutsideItsGroup() {
    ReferenceGroupAdvantage options =
        new ReferenceGroupAdvantage(false, Scale.UNBIASED, 0, false, false);
    double[] rewards = {Double.NaN, 3, 3, 1, Double.NaN, 3};
    double[] advantages = new GroupAdvantageCase(options, rewards, new long[] {0, 3, 6}).runF64();
    assertThat(Arrays.copyOf(advantages, 3)).containsOnly(0);
    assertThat(advantages[4]).isZero();
    assertThat(advantages[3]).isEqualTo(-advantages[5]).isNegative();
  }

  @Test
  void aSingletonGetsZeroByDefault() {
    assertThat(singleton(GroupAdvantage.grpo(), 0.7)).isZero();
    assertThat(singleton(GroupAdvantage.drGrpo(), 0.7)).isZero();
    assertThat(singleton(GroupAdvantage.rloo(), 0.7)).isZero();
  }

  @Test
  void aRawSingletonKeepsItsRewardOverOnePlusEpsilon() {
    assertThat(singleton(GroupAdvantage.grpo().withSingleton(Singleton.RAW), 0.7))
        .isEqualTo(0.7 / (1 + 1e-6));
    assertThat(singleton(GroupAdvantage.rloo().withSingleton(Singleton.RAW), 0.7)).isEqualTo(0.7);
    assertThat(
            singleton(
                GroupAdvantage.grpo()
                    .withSingleton(Singleton.RAW)
                    .withEpsilon(1e-4, EpsilonPlacement.IN_SQRT),
                0.7))
        .isEqualTo(0.7 / Math.sqrt(1 + 1e-4));
  }

  @Test
  void aSingletonCanBeAnError() {
    GroupAdvantage strict = GroupAdvantage.grpo().withSingleton(Singleton.ERROR);
    assertThatThrownBy(() -> singleton(strict, 0.7))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("group 0");
  }

  @Test
  void oneFiniteRewardMakesASingleton() {
    try (Floats rewards = Floats.copyOf(Float.NaN, 0.5f, Float.NaN);
        Floats advantages =
            GroupAdvantage.drGrpo()
                .withSingleton(Singleton.RAW)
                .forward(rewards, Groups.ofSize(3))) {
      assertThat(advantages.toArray()).containsExactly(0, 0.5f, 0);
    }
  }

  private static double singleton(GroupAdvantage operation, double reward) {
    try (Doubles rewards = Doubles.copyOf(reward);
        Doubles out = operation.forward(rewards, Groups.ofOffsets(Longs.copyOf(0, 1)))) {
      return out.get(0);
    }
  }
}
