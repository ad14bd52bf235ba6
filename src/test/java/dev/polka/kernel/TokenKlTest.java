package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import org.junit.jupiter.api.Test;

class TokenKlTest {
  private static final float D = 0.5f;
  private static final TokenKlInput INPUT =
      TokenKlInput.of(Floats.copyOf(-1f, -2f), Floats.copyOf(-1f - D, -2f));

  private static float value(KlEstimator estimator) {
    try (TokenKlResult r = TokenKl.of(estimator).forward(INPUT)) {
      assertThat(r.kl().get(1)).isZero();
      return r.kl().get(0);
    }
  }

  private static float gradient(TokenKl operation) {
    try (TokenKlResult r = operation.forwardBackward(INPUT)) {
      return r.gradient().get(0);
    }
  }

  @Test
  void estimatorsHaveTheirValues() {
    assertThat(value(KlEstimator.K1)).isEqualTo(D);
    assertThat(value(KlEstimator.ABS)).isEqualTo(D);
    assertThat(value(KlEstimator.K2)).isEqualTo(0.125f);
    assertThat(value(KlEstimator.K3)).isCloseTo((float) (Math.exp(-D) - 1 + D), within(1e-7f));
  }

  @Test
  void gradientsAreThoseChosen() {
    TokenKl k3 = TokenKl.of(KlEstimator.K3);

    assertThat(gradient(k3)).isEqualTo(D);
    assertThat(gradient(k3.withGradient(KlGradient.PATHWISE)))
        .isCloseTo((float) (1 - Math.exp(-D)), within(1e-7f));
    assertThat(gradient(k3.withGradient(KlGradient.DETACHED))).isZero();
    assertThat(gradient(k3.withGradient(KlGradient.IMPORTANCE_WEIGHTED))).isEqualTo(D);
  }

  @Test
  void oldLogProbsWeighTheEstimate() {
    TokenKlInput input = INPUT.withOld(Floats.copyOf(-1.25f, -2f));
    TokenKl k1 = TokenKl.of(KlEstimator.K1).withGradient(KlGradient.IMPORTANCE_WEIGHTED);

    try (TokenKlResult r = k1.forwardBackward(input)) {
      assertThat(r.kl().get(0)).isCloseTo((float) (Math.exp(0.25) * D), within(1e-6f));
      assertThat(r.gradient().get(0)).isCloseTo((float) (Math.exp(0.25) * (1 + D)), within(1e-6f));
    }
  }

  @Test
  void boundsHold() {
    TokenKlInput input = TokenKlInput.of(Floats.copyOf(-30f), Floats.copyOf(-1f));

    try (TokenKlResult clamped = TokenKl.of(KlEstimator.K3).withMaxLogRatio(2).forward(input);
        TokenKlResult bounded = TokenKl.of(KlEstimator.K3).withK3Max(10).forward(input)) {
      assertThat(clamped.kl().get(0)).isCloseTo((float) (Math.exp(2) - 3), within(1e-5f));
      assertThat(bounded.kl().get(0)).isEqualTo(10);
    }
  }

  @Test
  void maskAndUpstreamApply() {
    TokenKlInput input =
        INPUT.withMask(Bytes.copyOf(true, false)).withUpstream(Floats.copyOf(-4f, 1f));

    try (TokenKlResult r = TokenKl.of(KlEstimator.K2).forwardBackward(input)) {
      assertThat(r.kl().toArray()).containsExactly(0.125f, 0);
      assertThat(r.gradient().toArray()).containsExactly(-2f, 0);
    }
  }

  @Test
  void resultsGoToTheCallersMemory() {
    Floats kl = Floats.allocate(2);
    Floats gradient = Floats.copyOf(9, 9);
    TokenKlResult out = TokenKlResult.of(kl, gradient);

    TokenKl.of(KlEstimator.K1).forward(INPUT, out);
    assertThat(kl.toArray()).containsExactly(D, 0);
    assertThat(gradient.toArray()).containsExactly(9, 9);

    TokenKl.of(KlEstimator.K1).forwardBackward(INPUT, out);
    assertThat(gradient.toArray()).containsExactly(D, 0);
  }

  @Test
  void aMissingGradientIsNamed() {
    TokenKlResult out = TokenKlResult.of(Floats.allocate(2), null);

    assertThatThrownBy(() -> TokenKl.of(KlEstimator.K1).forwardBackward(INPUT, out))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("gradient");
  }

  @Test
  void sizesMustAgree() {
    TokenKlInput input = TokenKlInput.of(Floats.copyOf(-1f, -2f), Floats.copyOf(-1f));

    assertThatThrownBy(() -> TokenKl.of(KlEstimator.K1).forward(input))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("reference: has 1 elements, 2 are needed");
  }

  @Test
  void aBoundThatIsNoBoundIsRefused() {
    assertThatThrownBy(() -> TokenKl.of(KlEstimator.K3).withMaxLogRatio(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("maxLogRatio: 0.0");
    assertThatThrownBy(() -> TokenKl.of(KlEstimator.K3).withK3Max(Float.NaN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("k3Max: NaN");
  }
}
