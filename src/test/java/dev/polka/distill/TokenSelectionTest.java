package dev.polka.distill;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.TokenLayout;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenSelectionTest {
  private static final double NAN = Double.NaN;
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(3, 2).withMask(true, true, false, true, true);

  /** Scores 2, 1, none, 3, 2. */
  private static final double[] ENTROPY = {1, 0.5, NAN, 6, 2};

  private static final double[] DIVERGENCE = {2, 2, NAN, 0.5, 1};

  @Test
  void theLargestProductsStay() {
    assertThat(new TokenSelection(0.25).select(LAYOUT, ENTROPY, DIVERGENCE))
        .containsExactly(false, false, false, true, false);
    assertThat(new TokenSelection(0.75).select(LAYOUT, ENTROPY, DIVERGENCE))
        .containsExactly(true, false, false, true, true);
    assertThat(new TokenSelection(1).select(LAYOUT, ENTROPY, DIVERGENCE))
        .containsExactly(true, true, false, true, true);
  }

  @Test
  void equalScoresGoToTheLowerRow() {
    assertThat(new TokenSelection(0.5).select(LAYOUT, ENTROPY, DIVERGENCE))
        .containsExactly(true, false, false, true, false);
    assertThat(new TokenSelection(0.5).select(LAYOUT, new double[5], new double[5]))
        .containsExactly(true, true, false, false, false);
  }

  @Test
  void oneTokenStaysAtLeast() {
    assertThat(new TokenSelection(1e-9).select(LAYOUT, ENTROPY, DIVERGENCE))
        .containsExactly(false, false, false, true, false);
  }

  @Test
  void whatAMaskHidesChangesNothing() {
    assertThat(
            new TokenSelection(0.5)
                .select(LAYOUT, new double[] {1, 0.5, 99, 6, 2}, new double[] {2, 2, 99, 0.5, 1}))
        .containsExactly(new TokenSelection(0.5).select(LAYOUT, ENTROPY, DIVERGENCE));
  }

  @Test
  void aBatchWithoutTokensKeepsNone() {
    TokenLayout masked = TokenLayout.ofLengths(2).withMask(false, false);

    assertThat(
            new TokenSelection(1).select(masked, new double[] {NAN, NAN}, new double[] {NAN, NAN}))
        .containsExactly(false, false);
    assertThat(new TokenSelection(1).select(TokenLayout.ofLengths(), new double[0], new double[0]))
        .isEmpty();
  }

  @ParameterizedTest
  @ValueSource(doubles = {NAN, -1, Double.POSITIVE_INFINITY})
  void whatCannotBeScoredIsNamed(double bad) {
    double[] with = {1, bad, 1, 1, 1};

    assertThatThrownBy(() -> new TokenSelection(1).select(LAYOUT, with, DIVERGENCE))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("entropy of row 1: " + bad + " is not finite and >= 0");
    assertThatThrownBy(() -> new TokenSelection(1).select(LAYOUT, ENTROPY, with))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("divergence of row 1: " + bad + " is not finite and >= 0");
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 1.5, NAN})
  void aShareOutOfRangeIsNamed(double share) {
    assertThatThrownBy(() -> new TokenSelection(share))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("share: " + share + " is not in (0, 1]");
  }
}
