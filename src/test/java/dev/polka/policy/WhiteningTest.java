package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.EpsilonPlacement;
import dev.polka.kernel.TokenLayout;
import dev.polka.reference.Noise;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class WhiteningTest {
  private static final TokenLayout FOUR = TokenLayout.ofLengths(4);

  @Test
  void theMeanBecomesZeroAndTheVarianceOne() {
    double[] values = Noise.of(1).doubles(1000, 5, 9);
    TokenLayout layout = TokenLayout.ofLengths(1000);
    for (Whitening whitening : new Whitening[] {Whitening.unbiased(), Whitening.biased()}) {
      Moments white = Moments.of(layout, whitening.forward(layout, values));
      assertThat(white.mean()).isCloseTo(0, within(1e-12));
      assertThat(white.biasedVariance()).isCloseTo(1, within(2e-3));
    }
  }

  @Test
  void theVarianceIsOverAllValuesOrOneLess() {
    // mean 2, squares 8
    double[] values = {0, 2, 4, 2};

    assertThat(Whitening.unbiased().withEpsilon(0, EpsilonPlacement.IN_SQRT).forward(FOUR, values))
        .containsExactly(-2 / Math.sqrt(8 / 3.0), 0, 2 / Math.sqrt(8 / 3.0), 0);
    assertThat(Whitening.biased().withEpsilon(0, EpsilonPlacement.IN_SQRT).forward(FOUR, values))
        .containsExactly(-2 / Math.sqrt(2), 0, 2 / Math.sqrt(2), 0);
  }

  @Test
  void epsilonStandsInTheRootOrOutside() {
    double[] values = {0, 2, 4, 2};

    assertThat(Whitening.biased().withEpsilon(7, EpsilonPlacement.IN_SQRT).forward(FOUR, values))
        .containsExactly(-2 / 3.0, 0, 2 / 3.0, 0);
    assertThat(Whitening.biased().withEpsilon(1, EpsilonPlacement.OUTSIDE).forward(FOUR, values)[2])
        .isEqualTo(2 / (Math.sqrt(2) + 1));
  }

  @Test
  void aFloorHoldsTheVariance() {
    double[] values = {0, 2, 4, 2};

    assertThat(Whitening.biased().withVarianceFloor(16).forward(FOUR, values))
        .containsExactly(-0.5, 0, 0.5, 0);
    assertThat(Whitening.biased().withVarianceFloor(1).forward(FOUR, values)[2])
        .isEqualTo(2 / Math.sqrt(2));
  }

  @Test
  void withoutCenteringTheSignStays() {
    double[] white =
        Whitening.biased()
            .withEpsilon(0, EpsilonPlacement.IN_SQRT)
            .withoutCentering()
            .forward(FOUR, 0, 2, 4, 2);

    assertThat(white).containsExactly(0, 2 / Math.sqrt(2), 4 / Math.sqrt(2), 2 / Math.sqrt(2));
  }

  @Test
  void equalValuesAndASingleOneGiveExactlyZero() {
    for (int hundredth = 1; hundredth <= 100; hundredth++) {
      for (int n = 1; n <= 64; n++) {
        double[] values = new double[n];
        Arrays.fill(values, hundredth / 100.0);
        TokenLayout layout = TokenLayout.ofLengths(n);
        assertThat(Whitening.unbiased().forward(layout, values)).containsOnly(0);
        assertThat(Whitening.biased().withVarianceFloor(0).forward(layout, values)).containsOnly(0);
      }
    }
  }

  @Test
  void rowsThatDoNotCountAreNotReadAndGetZero() {
    TokenLayout layout = FOUR.withMask(true, false, true, false);
    double[] white = Whitening.biased().forward(layout, 1, Double.NaN, 3, 1e300);

    assertThat(white[1]).isZero();
    assertThat(white[3]).isZero();
    assertThat(white[2]).isCloseTo(1, within(1e-8)).isEqualTo(-white[0]);
  }

  @Test
  void mergedMomentsAreThoseOfAllValues() {
    double[] values = Noise.of(2).doubles(300, 100, 101);
    TokenLayout all = TokenLayout.ofLengths(300);
    Moments whole = Moments.of(all, values);
    Moments merged = Moments.NONE;
    for (int from = 0; from < 300; from += 75) {
      merged = merged.merge(Moments.of(Arrays.copyOfRange(values, from, from + 75)));
    }

    assertThat(merged.count()).isEqualTo(300);
    assertThat(merged.mean()).isCloseTo(whole.mean(), within(1e-13));
    assertThat(merged.squares()).isCloseTo(whole.squares(), within(1e-10));
    assertThat(Whitening.biased().forward(all, values, merged)[17])
        .isCloseTo(Whitening.biased().forward(all, values)[17], within(1e-11));
  }

  @Test
  void momentsOfSumsAreThoseOfTheValues() {
    double[] values = Noise.of(3).doubles(300, -1, 1);
    double sum = Arrays.stream(values).sum();
    double squares = Arrays.stream(values).map(v -> v * v).sum();
    Moments direct = Moments.of(values);
    Moments fromSums = Moments.ofSums(300, sum, squares);

    assertThat(fromSums.mean()).isCloseTo(direct.mean(), within(1e-15));
    assertThat(fromSums.unbiasedVariance()).isCloseTo(direct.unbiasedVariance(), within(1e-14));
    assertThat(Moments.ofSums(0, 0, 0)).isEqualTo(Moments.NONE);
  }

  @Test
  void valuesThatAreNanHaveNoMoments() {
    assertThat(Moments.of(1, Double.NaN, 3)).isEqualTo(new Moments(2, 2, 2));
    assertThat(Moments.of(Double.NaN)).isEqualTo(Moments.NONE);
    assertThat(Moments.NONE.unbiasedVariance()).isZero();
    assertThat(Moments.NONE.biasedVariance()).isZero();
  }

  @Test
  void badOptionsAreRefused() {
    assertThatThrownBy(() -> Whitening.biased().withEpsilon(-1, EpsilonPlacement.OUTSIDE))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("epsilon: -1.0 is not finite and >= 0");
    assertThatThrownBy(() -> Whitening.biased().withVarianceFloor(Double.NaN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("varianceFloor: NaN is not finite and >= 0");
    assertThatThrownBy(() -> new Moments(-1, 0, 0)).isInstanceOf(IllegalArgumentException.class);
  }
}
