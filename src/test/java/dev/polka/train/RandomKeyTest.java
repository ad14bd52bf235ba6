package dev.polka.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RandomKeyTest {
  @Test
  void drawsAreAFunctionOfKeyAndCounter() {
    RandomKey key = RandomKey.ofSeed(7).with("rollout").with(3);
    RandomKey again = RandomKey.ofSeed(7).with("rollout").with(3);
    assertThat(key.uniform(11)).isEqualTo(again.uniform(11)).isNotEqualTo(key.uniform(12));
  }

  @Test
  void bitsNeverChangeBetweenVersions() {
    assertThat(RandomKey.ofSeed(1).with("a").with(2).bits(3)).isEqualTo(-4145767334064304126L);
  }

  @Test
  void orderOfPartsMatters() {
    RandomKey root = RandomKey.ofSeed(0);
    assertThat(root.with(1).with(2)).isNotEqualTo(root.with(2).with(1));
    assertThat(root.with("ab").with("c")).isNotEqualTo(root.with("a").with("bc"));
  }

  @Test
  void neighbouringKeysAndCountersGiveDistinctBits() {
    Set<Long> bits = new HashSet<>();
    for (long seed = 0; seed < 20; seed++) {
      for (long step = 0; step < 50; step++) {
        for (long token = 0; token < 50; token++) {
          bits.add(RandomKey.ofSeed(seed).with(step).bits(token));
        }
      }
    }
    assertThat(bits).size().isEqualTo(20 * 50 * 50);
  }

  @Test
  void uniformHasMeanAHalfAndVarianceATwelfth() {
    int n = 200_000;
    double sum = 0;
    double squares = 0;
    double lagged = 0;
    double before = 0.5;
    for (int i = 0; i < n; i++) {
      double u = RandomKey.ofSeed(5).with(i / 1000).uniform(i % 1000);
      assertThat(u).isGreaterThanOrEqualTo(0).isLessThan(1);
      sum += u;
      squares += (u - 0.5) * (u - 0.5);
      lagged += (u - 0.5) * (before - 0.5);
      before = u;
    }
    double standardError = Math.sqrt(1.0 / 12 / n);
    assertThat(sum / n).isCloseTo(0.5, within(4 * standardError));
    assertThat(squares / n).isCloseTo(1.0 / 12, within(0.001));
    assertThat(lagged / n).isCloseTo(0, within(0.001));
  }

  @Test
  void belowCoversItsRangeEvenly() {
    int[] counts = new int[7];
    for (int i = 0; i < 70_000; i++) {
      counts[(int) RandomKey.ofSeed(9).below(i, 7)]++;
    }
    for (int count : counts) {
      assertThat(count).isBetween(9_500, 10_500);
    }
    assertThat(RandomKey.ofSeed(9).below(0, Long.MAX_VALUE)).isNotNegative();
    assertThatThrownBy(() -> RandomKey.ofSeed(9).below(0, 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("bound is 0, must be at least 1");
  }
}
