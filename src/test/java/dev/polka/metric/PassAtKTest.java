package dev.polka.metric;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.math.BigInteger;
import org.junit.jupiter.api.Test;

class PassAtKTest {
  @Test
  void isTheShareOfKSubsetsThatHoldACorrectSample() {
    for (int n = 1; n <= 12; n++) {
      for (int c = 0; c <= n; c++) {
        for (int k = 1; k <= n; k++) {
          double expected = 1 - choose(n - c, k).doubleValue() / choose(n, k).doubleValue();
          assertThat(PassAtK.of(n, c, k))
              .as("%d %d %d", n, c, k)
              .isCloseTo(expected, within(1e-14));
        }
      }
    }
  }

  @Test
  void holdsForCountsWhoseBinomialsOverflow() {
    assertThat(PassAtK.of(100_000, 1, 50_000)).isCloseTo(0.5, within(1e-9));
    assertThat(PassAtK.of(100_000, 100_000, 1)).isEqualTo(1);
    assertThat(PassAtK.of(100_000, 0, 100_000)).isEqualTo(0);
  }

  @Test
  void theMeanIsOverProblems() {
    assertThat(PassAtK.mean(new long[] {4, 2}, new long[] {1, 0}, 2)).isEqualTo(0.25);
  }

  @Test
  void refusesCountsOutsideTheirRange() {
    assertThatThrownBy(() -> PassAtK.of(0, 0, 1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("samples is 0; it must be at least 1");
    assertThatThrownBy(() -> PassAtK.of(4, 5, 1)).hasMessage("correct is 5; it must be in [0, 4]");
    assertThatThrownBy(() -> PassAtK.of(4, 1, 5)).hasMessage("k is 5; it must be in [1, 4]");
    assertThatThrownBy(() -> PassAtK.mean(new long[0], new long[0], 1))
        .hasMessageContaining("at least 1");
  }

  private static BigInteger choose(int n, int k) {
    BigInteger ways = BigInteger.ONE;
    for (int i = 0; i < k; i++) {
      ways = ways.multiply(BigInteger.valueOf(n - i)).divide(BigInteger.valueOf(i + 1));
    }
    return n < k ? BigInteger.ZERO : ways;
  }
}
