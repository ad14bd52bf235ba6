package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceGroupAdvantage;
import dev.polka.reference.ReferenceGroupAdvantage.Scale;
import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;

/** What holds for group advantages whatever the rewards. */
class GroupAdvantageProperties {
  private static GroupAdvantageCase anyCase(
      ReferenceGroupAdvantage options, long seed, int groups) {
    Noise noise = Noise.of(seed);
    long[] offsets = new long[groups + 1];
    for (int g = 0; g < groups; g++) {
      offsets[g + 1] = offsets[g] + noise.below(g, 7);
    }
    double[] rewards = new double[(int) offsets[groups]];
    for (int i = 0; i < rewards.length; i++) {
      double reward = noise.below(1000 + i, 3) == 0 ? 1 : (float) noise.stream(1).normal(i);
      rewards[i] = noise.below(5000 + i, 12) == 0 ? Double.NaN : reward;
    }
    return new GroupAdvantageCase(options, rewards, offsets);
  }

  @Property(tries = 200, seed = "20260701")
  void anyRewardsGiveTheReferencesAdvantages(
      @ForAll boolean leaveOneOut,
      @ForAll Scale scale,
      @ForAll boolean inSqrt,
      @ForAll boolean raw,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(max = 40) int groups) {
    GroupAdvantageCase c =
        anyCase(new ReferenceGroupAdvantage(leaveOneOut, scale, 1e-6, inSqrt, raw), seed, groups);
    double[] expected = c.expected();
    double[] actual = c.runF64();
    for (int i = 0; i < expected.length; i++) {
      double bound = 1e-12 * Math.max(1, Math.abs(expected[i]));
      Accuracy.assertWithin("advantage " + i, actual[i], expected[i], bound);
    }
  }

  @Property(tries = 100, seed = "20260701")
  void advantagesOfAGroupSumToZero(
      @ForAll boolean leaveOneOut,
      @ForAll Scale scale,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(max = 40) int groups) {
    GroupAdvantageCase c =
        anyCase(new ReferenceGroupAdvantage(leaveOneOut, scale, 1e-6, false, false), seed, groups);
    double[] advantages = c.runF64();
    for (int g = 0; g < groups; g++) {
      double[] group =
          Arrays.copyOfRange(advantages, (int) c.groupOffsets()[g], (int) c.groupOffsets()[g + 1]);
      Accuracy.assertWithin("group " + g, Arrays.stream(group).sum(), 0, 1e-12);
    }
  }

  @Property(tries = 100, seed = "20260701")
  void aCommonRewardMovesNothing(
      @ForAll Scale scale,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(max = 40) int groups) {
    GroupAdvantageCase c =
        anyCase(new ReferenceGroupAdvantage(false, scale, 1e-6, false, false), seed, groups);
    double[] moved = Arrays.stream(c.rewards()).map(r -> r + 8).toArray();
    double[] plain = c.runF64();
    double[] shifted = new GroupAdvantageCase(c.options(), moved, c.groupOffsets()).runF64();
    for (int i = 0; i < plain.length; i++) {
      Accuracy.assertWithin("advantage " + i, shifted[i], plain[i], 1e-9);
    }
  }

  @Property(tries = 60, seed = "20260701")
  void aGroupAloneHasTheBitsItHasAmongOthers(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 300) int groups) {
    ReferenceGroupAdvantage options =
        new ReferenceGroupAdvantage(false, Scale.UNBIASED, 1e-6, false, true);
    GroupAdvantageCase c = anyCase(options, seed, groups);
    double[] all = c.runF64();
    int g = Noise.of(seed).below(7, groups);
    int from = (int) c.groupOffsets()[g];
    int to = (int) c.groupOffsets()[g + 1];
    double[] alone =
        new GroupAdvantageCase(
                options, Arrays.copyOfRange(c.rewards(), from, to), new long[] {0, to - from})
            .runF64();
    assertThat(alone).isEqualTo(Arrays.copyOfRange(all, from, to));
  }
}
