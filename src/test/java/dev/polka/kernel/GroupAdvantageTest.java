package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.DType;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Placement;
import org.junit.jupiter.api.Test;

class GroupAdvantageTest {
  private static double[] advantages(GroupAdvantage operation, Groups groups, double... rewards) {
    try (Doubles in = Doubles.copyOf(rewards);
        Doubles out = operation.forward(in, groups)) {
      return out.toArray();
    }
  }

  @Test
  void grpoCentresAndDividesByTheUnbiasedDeviation() {
    double[] a = advantages(GroupAdvantage.grpo(), Groups.ofSize(2), 1, 3, 0, 0);

    assertThat(a[0]).isCloseTo(-1 / (Math.sqrt(2) + 1e-6), within(1e-12));
    assertThat(a[1]).isCloseTo(1 / (Math.sqrt(2) + 1e-6), within(1e-12));
    assertThat(a[2]).isZero();
    assertThat(a[3]).isZero();
  }

  @Test
  void theBiasedDeviationDividesByTheGroupSize() {
    GroupAdvantage operation =
        GroupAdvantage.grpo().withStd(Std.BIASED).withEpsilon(0.5, EpsilonPlacement.IN_SQRT);

    assertThat(advantages(operation, Groups.ofSize(2), 1, 3)[1])
        .isCloseTo(1 / Math.sqrt(1.5), within(1e-12));
  }

  @Test
  void drGrpoOnlyCentres() {
    assertThat(advantages(GroupAdvantage.drGrpo(), Groups.ofSize(3), 0, 1, 5))
        .containsExactly(-2, -1, 3);
  }

  @Test
  void rlooComparesWithTheOthers() {
    assertThat(advantages(GroupAdvantage.rloo(), Groups.ofSize(3), 0, 1, 5))
        .containsExactly(-3, -1.5, 4.5);
  }

  @Test
  void theBaselineCanBeChosen() {
    GroupAdvantage operation = GroupAdvantage.rloo().withBaseline(Baseline.MEAN);

    assertThat(advantages(operation, Groups.ofSize(2), 0, 1)).containsExactly(-0.5, 0.5);
  }

  @Test
  void groupsMayBeRagged() {
    Groups groups = Groups.ofOffsets(Longs.copyOf(0, 1, 1, 3));

    assertThat(advantages(GroupAdvantage.drGrpo(), groups, 7, 0, 2)).containsExactly(0, -1, 1);
  }

  @Test
  void aSingletonFollowsItsPolicy() {
    Groups groups = Groups.ofSize(1);
    GroupAdvantage raw = GroupAdvantage.drGrpo().withSingleton(Singleton.RAW);
    GroupAdvantage error = GroupAdvantage.drGrpo().withSingleton(Singleton.ERROR);

    assertThat(advantages(GroupAdvantage.drGrpo(), groups, 7)).containsExactly(0);
    assertThat(advantages(raw, groups, 7)).containsExactly(7);
    assertThatThrownBy(() -> advantages(error, groups, 7))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void floatsGiveFloats() {
    try (Floats rewards = Floats.copyOf(0, 2);
        Floats out = GroupAdvantage.drGrpo().forward(rewards, Groups.ofSize(2))) {
      assertThat(out.toArray()).containsExactly(-1, 1);
    }
  }

  @Test
  void statisticsOfEachGroupAreWritten() {
    Groups groups = Groups.ofSize(3);
    try (Floats rewards = Floats.copyOf(1, 3, Float.NaN, 2, 2, 2);
        var out = GroupAdvantageResult.allocate(Placement.CPU, DType.F64, 6, 2)) {
      GroupAdvantage.grpo().forward(rewards, groups, out);

      assertThat(out.mean().toArray()).containsExactly(2, 2);
      assertThat(out.std().get(0)).isCloseTo(Math.sqrt(2), within(1e-12));
      assertThat(out.std().get(1)).isZero();
      assertThat(out.finiteCount().toArray()).containsExactly(2, 3);
      assertThat(out.zeroVariance().toArray()).containsExactly(0, 1);
      assertThat(((Doubles) out.advantages()).get(2)).isZero();
    }
  }

  @Test
  void aResultForAdvantagesAloneHasNoStatistics() {
    try (Doubles rewards = Doubles.copyOf(0, 2);
        Doubles advantages = Doubles.allocate(2);
        var out = GroupAdvantageResult.of(advantages)) {
      GroupAdvantage.drGrpo().forward(rewards, Groups.ofSize(2), out);
      out.close();

      assertThat(advantages.toArray()).containsExactly(-1, 1);
      assertThatThrownBy(out::mean).isInstanceOf(IllegalStateException.class);
    }
  }

  @Test
  void groupsThatDoNotDivideTheRewardsAreRefused() {
    assertThatThrownBy(() -> advantages(GroupAdvantage.grpo(), Groups.ofSize(4), 1, 2, 3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("groups: 3 rewards do not divide into groups of 4");
  }

  @Test
  void oneGroupsObjectServesAnyNumberOfRewards() {
    Groups groups = Groups.ofSize(2);

    assertThat(advantages(GroupAdvantage.drGrpo(), groups, 0, 2)).containsExactly(-1, 1);
    assertThat(advantages(GroupAdvantage.drGrpo(), groups, 0, 2, 1, 5))
        .containsExactly(-1, 1, -2, 2);
    assertThat(advantages(GroupAdvantage.drGrpo(), groups, 0, 4)).containsExactly(-2, 2);
  }

  @Test
  void fallingOffsetsAreRefused() {
    Groups groups = Groups.ofOffsets(Longs.copyOf(0, 2, 1, 3));

    assertThatThrownBy(() -> advantages(GroupAdvantage.grpo(), groups, 1, 2, 3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("falls from 2 to 1");
  }

  @Test
  void writingOverTheRewardsIsRefused() {
    Floats rewards = Floats.copyOf(1, 2);

    assertThatThrownBy(
            () ->
                GroupAdvantage.grpo()
                    .forward(rewards, Groups.ofSize(2), GroupAdvantageResult.of(rewards)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("advantages")
        .hasMessageContaining("overlaps that of rewards");
  }

  @Test
  void aNegativeEpsilonIsRefused() {
    assertThatThrownBy(() -> GroupAdvantage.grpo().withEpsilon(-1, EpsilonPlacement.OUTSIDE))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("epsilon: -1.0 is not finite and >= 0");
  }
}
