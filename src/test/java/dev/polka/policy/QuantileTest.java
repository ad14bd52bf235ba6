package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.TokenLayout;
import org.junit.jupiter.api.Test;

class QuantileTest {
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(2, 3).withMask(true, true, false, true, true);
  private static final double[] VALUES = {4, 1, -99, 3, 2};

  @Test
  void quantilesInterpolateBetweenNeighbours() {
    assertThat(Quantile.of(LAYOUT, VALUES, 0)).isEqualTo(1);
    assertThat(Quantile.of(LAYOUT, VALUES, 0.5)).isEqualTo(2.5);
    assertThat(Quantile.of(LAYOUT, VALUES, 1)).isEqualTo(4);
  }

  @Test
  void theThresholdKeepsTheShareOfMostUncertainTokens() {
    assertThat(Quantile.entropyThreshold(LAYOUT, VALUES, 0.5)).isEqualTo(2.5f);
    assertThat(Quantile.entropyThreshold(LAYOUT, VALUES, 1)).isZero();
  }

  @Test
  void withoutTokensThereIsNoQuantileAndNoThreshold() {
    TokenLayout none = TokenLayout.ofLengths(1).withMask(false);

    assertThat(Quantile.of(none, new double[1], 0.5)).isNaN();
    assertThat(Quantile.entropyThreshold(none, new double[1], 0.2)).isZero();
  }

  @Test
  void aShareOutsideZeroAndOneIsRefused() {
    assertThatThrownBy(() -> Quantile.entropyThreshold(LAYOUT, VALUES, 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("share: 0.0 is not in (0, 1]");
  }
}
