package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.TokenLayout;
import org.junit.jupiter.api.Test;

class CovarianceSelectionTest {
  private static final double[] LOG_PROB = {-1, -3, -2, -2, 99};
  private static final double[] ADVANTAGES = {2, -2, 1, -1, 99};
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(3, 2).withMask(true, true, true, true, false);

  @Test
  void covariancesAreTakenAboutTheMeansOfWhatCounts() {
    assertThat(CovarianceSelection.of(LAYOUT, LOG_PROB, ADVANTAGES).covariance())
        .containsExactly(2, 2, 0, -0.0, Double.NaN);
  }

  @Test
  void theLargestCovariancesArePulledAndTiesGoToTheLowerRow() {
    CovarianceSelection selection = CovarianceSelection.of(LAYOUT, LOG_PROB, ADVANTAGES);

    assertThat(selection.anchorWeights(0.01)).containsExactly(1, 0, 0, 0, 0);
    assertThat(selection.anchorWeights(0.5)).containsExactly(1, 1, 0, 0, 0);
  }

  @Test
  void whatIsBetweenTheBoundsAndNotYetClippedIsDropped() {
    CovarianceSelection selection = CovarianceSelection.of(LAYOUT, LOG_PROB, ADVANTAGES);
    boolean[] clipped = {true, false, false, false, false};

    assertThat(selection.clipWeights(1, 1, 5, clipped, 7)).containsExactly(1, 0, 1, 1, 1);
    assertThat(selection.clipWeights(1, 1, 2, clipped, 7)).containsOnly(1);
  }

  @Test
  void theSeedDecidesWhichCandidateGoesAndAlwaysTheSame() {
    TokenLayout layout = TokenLayout.ofLengths(100);
    double[] values = new double[100];
    for (int row = 0; row < 100; row++) {
      values[row] = row % 2 == 0 ? 2 : -2;
    }
    CovarianceSelection selection = CovarianceSelection.of(layout, values, values);
    boolean[] none = new boolean[100];

    float[] first = selection.clipWeights(0.05, 1, 5, none, 1);

    assertThat(selection.clipWeights(0.05, 1, 5, none, 1)).isEqualTo(first);
    assertThat(selection.clipWeights(0.05, 1, 5, none, 2)).isNotEqualTo(first);
    assertThat(first).hasSize(100);
    assertThat(new String(toChars(first))).matches("[^0]*(0[^0]*){5}");
  }

  private static char[] toChars(float[] weights) {
    char[] chars = new char[weights.length];
    for (int i = 0; i < chars.length; i++) {
      chars[i] = weights[i] == 0 ? '0' : '1';
    }
    return chars;
  }

  @Test
  void aShareOutsideZeroAndOneIsRefused() {
    CovarianceSelection selection = CovarianceSelection.of(LAYOUT, LOG_PROB, ADVANTAGES);

    assertThatThrownBy(() -> selection.anchorWeights(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("fraction: 0.0 is not in (0, 1]");
  }
}
