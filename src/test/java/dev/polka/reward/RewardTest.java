package dev.polka.reward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

class RewardTest {
  private static final double NAN = Double.NaN;
  private static final double INFINITY = Double.POSITIVE_INFINITY;

  @Test
  void theOverlongPenaltyGrowsOverTheBufferAndStops() {
    OverlongPenalty penalty = OverlongPenalty.of(100, 20).withFactor(2);

    assertThat(penalty.apply(new double[] {1, 1, 1, 1, 1}, 0, 80, 90, 100, 150))
        .containsExactly(1, 1, 0, -1, -1);
    assertThat(penalty.unbounded().of(150)).isEqualTo(-7);
    assertThat(penalty.of(80)).isEqualTo(0.0);
  }

  @Test
  void aPenaltyWithoutABufferIsRefused() {
    assertThatThrownBy(() -> OverlongPenalty.of(100, 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("buffer: 0 is not in [1, 100 (the maximal length)]");
    assertThatThrownBy(() -> OverlongPenalty.of(9, 1).apply(new double[2], 1))
        .hasMessage("lengths: has 1 elements, 2 (one per reward) are needed");
  }

  @Test
  void truncatedResponsesAreScaledOrWorthAReward() {
    double[] rewards = {1, -2, 3};

    assertThat(Truncation.scaledBy(0.5).apply(rewards, true, true, false))
        .containsExactly(0.5, -1, 3);
    assertThat(Truncation.worth(-0.25).apply(rewards, true, false, true))
        .containsExactly(-0.25, -2, -0.25);
    assertThat(rewards).containsExactly(1, -2, 3);
    assertThatThrownBy(() -> Truncation.scaledBy(1.5)).hasMessage("factor: 1.5 is not in [0, 1]");
  }

  @Test
  void truncatedResponsesCanBeLeftOut() {
    TokenLayout layout = TokenLayout.ofLengths(2, 3).withMask(true, false, true, true, true);

    TokenLayout left = Truncation.withoutTruncated(layout, false, true);

    assertThat(left.tokenCounts()).containsExactly(1, 0);
  }

  @Test
  void theRepetitionPenaltyIsTheShareOfRepeats() {
    RepetitionPenalty penalty = new RepetitionPenalty(2, -1);

    assertThat(penalty.of(1, 2, 3, 4)).isEqualTo(0.0);
    assertThat(penalty.of(1, 2, 1, 2, 1)).isEqualTo(-0.5);
    assertThat(penalty.of(7, 7, 7, 7, 7)).isEqualTo(-0.75);
    assertThat(penalty.of(1)).isEqualTo(0.0);
    assertThat(penalty.of()).isEqualTo(0.0);
    assertThatThrownBy(() -> new RepetitionPenalty(2, 1))
        .hasMessage("maxPenalty: 1.0 is not finite and <= 0");
  }

  @Test
  void rewardsAreMovedScaledAndBounded() {
    RewardScale scale = new RewardScale(-0.5, 10, -4, 4);
    double[] rewards = {0, 0.5, 0.75, 1, INFINITY, NAN};

    assertThat(scale.apply(rewards)).containsExactly(-4, 0, 2.5, 4, 4, NAN);
    assertThat(scale.clipFraction(rewards)).isEqualTo(3 / 6.0);
    assertThat(RewardScale.clip(-10, 10).of(11)).isEqualTo(10);
    assertThat(scale.clipFraction()).isZero();
    assertThatThrownBy(() -> RewardScale.clip(1, -1)).hasMessage("clip: [1.0, -1.0] is empty");
  }

  @Test
  void runningMomentsAreThoseOfAllRewardsHoweverTheyCome() {
    double[] rewards = {1e9 + 1, 1e9 + 2, 1e9 + 4, 1e9 + 9};
    RunningMoments whole = RunningMoments.NONE.plus(rewards);

    assertThat(whole.mean()).isEqualTo(1e9 + 4);
    // The squares of the rewards themselves are 1e18, and would leave no digit of it.
    assertThat(whole.variance()).isCloseTo(38 / 3.0, Offset.offset(1e-6));
    for (int cut = 0; cut <= 4; cut++) {
      RunningMoments left = RunningMoments.NONE.plus(Arrays.copyOf(rewards, cut));
      RunningMoments right = RunningMoments.NONE.plus(Arrays.copyOfRange(rewards, cut, 4));
      RunningMoments both = left.plus(right);
      assertThat(both.count()).isEqualTo(4);
      assertThat(both.mean()).isCloseTo(whole.mean(), Offset.offset(1e-6));
      assertThat(both.variance()).isCloseTo(whole.variance(), Offset.offset(1e-6));
    }
  }

  @Test
  void runningMomentsLeaveOutNanAndRefuseInfinities() {
    RunningMoments moments = RunningMoments.NONE.plus(1, NAN, 3);

    assertThat(moments).isEqualTo(new RunningMoments(2, 2, 2));
    assertThat(moments.std()).isEqualTo(Math.sqrt(2));
    assertThat(moments.normalized(1, 2, NAN, 3)).containsExactly(0, NAN, 1 / (Math.sqrt(2) + 1));
    assertThat(RunningMoments.NONE.plus(NAN)).isEqualTo(RunningMoments.NONE);
    assertThat(RunningMoments.NONE.plus(5).variance()).isZero();
    assertThatThrownBy(() -> moments.plus(INFINITY))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("rewards: reward 0 is Infinity");
  }

  @Test
  void groupsWhoseRewardsAreEqualAreDropped() {
    TokenLayout groups = TokenLayout.ofLengths(3, 2, 1, 0, 2);
    double[] rewards = {0.1, 0.1, 0.1, 0, 1, 5, NAN, 1};

    assertThat(GroupFilter.differing().keep(rewards, groups))
        .containsExactly(false, true, false, false, false);
    assertThat(GroupFilter.differing().withSingletons().keep(rewards, groups))
        .containsExactly(false, true, true, false, true);
    assertThat(GroupFilter.differing().withMinStd(0.5).keep(rewards, groups)).containsOnly(false);
  }

  @Test
  void noGroupOfEqualRewardsPassesForDiffering() {
    for (int hundredths = 1; hundredths <= 100; hundredths++) {
      for (int n = 2; n <= 64; n++) {
        double[] rewards = new double[n];
        Arrays.fill(rewards, hundredths / 100.0);
        assertThat(GroupFilter.differing().keep(rewards, TokenLayout.ofLengths(n)))
            .containsExactly(false);
      }
    }
  }

  @Test
  void groupsThatAreTooHardOrTooEasyAreDropped() {
    TokenLayout groups = TokenLayout.ofLengths(2, 2, 2, 2);
    double[] rewards = {0, 0, 0, 1, 1, 1, 0.5, 0.5};

    assertThat(GroupFilter.meanWithin(0, 1).keep(rewards, groups))
        .containsExactly(false, true, false, true);
    assertThat(GroupFilter.meanWithin(0, 1).withMinStd(0).keep(rewards, groups))
        .containsExactly(false, true, false, false);
    assertThatThrownBy(() -> GroupFilter.meanWithin(1, 1)).hasMessage("mean: (1.0, 1.0) is empty");
  }
}
