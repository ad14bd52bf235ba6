package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceTokenKl;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Values and derivatives of token_kl against the f64 reference. */
class TokenKlAccuracyTest {
  private static final int TOKENS = 1001;
  private static final float[] LOG_PROB = Noise.of(1).uniforms(TOKENS, -8, 0);
  private static final float[] REFERENCE = Noise.of(2).uniforms(TOKENS, -8, 0);
  private static final float[] OLD = Noise.of(3).uniforms(TOKENS, -4, 0);

  static Stream<Arguments> modes() {
    return Stream.of(Estimator.values())
        .flatMap(e -> Stream.of(Gradient.values()).map(g -> Arguments.of(e, g)));
  }

  @ParameterizedTest
  @MethodSource("modes")
  void everyEstimatorHasItsValueAndDerivativeInEveryMode(Estimator estimator, Gradient mode) {
    ReferenceTokenKl options = ReferenceTokenKl.of(estimator, mode).withK3Max(50);
    assertMeetsTheBar(TokenKlCase.of(options, LOG_PROB, REFERENCE));
    assertMeetsTheBar(TokenKlCase.of(options, LOG_PROB, REFERENCE).withOld(OLD));
  }

  /** k3's derivative is a difference of exponentials up to e^d: that is its scale. */
  private static void assertMeetsTheBar(TokenKlCase c) {
    TokenKlCase.Outputs out = c.run();
    for (int t = 0; t < c.logProb().length; t++) {
      ReferenceTokenKl.Term expected = c.expected(t);
      double d = Math.abs(c.logProb()[t] - c.reference()[t]);
      double weight = c.old() == null ? 1 : Math.exp(Math.abs(c.logProb()[t] - c.old()[t]));
      double conditioning = Math.max(1, d) * Math.max(1, weight);
      double scale = conditioning * Math.max(1, Math.abs(expected.value()));
      Accuracy.assertTerm("kl of token " + t, out.kl()[t], expected.value(), scale);
      Accuracy.assertTerm(
          "gradient of token " + t, out.gradient()[t], expected.derivative(), scale);
    }
  }

  @ParameterizedTest
  @EnumSource(Estimator.class)
  void smallDifferencesKeepTheirDigits(Estimator estimator) {
    float[] logProb = new float[60];
    Arrays.setAll(
        new double[60], i -> logProb[i] = (float) Math.scalb(i % 2 == 0 ? 1.3 : -1.3, -i / 2));
    float[] zero = new float[60];
    ReferenceTokenKl options = ReferenceTokenKl.of(estimator, Gradient.PATHWISE);
    TokenKlCase c = TokenKlCase.of(options, logProb, zero);
    TokenKlCase.Outputs out = c.run();
    for (int t = 0; t < 60; t++) {
      double value = c.expected(t).value();
      double derivative = c.expected(t).derivative();
      Accuracy.assertWithin(
          "kl at " + logProb[t], out.kl()[t], value, 4 * Accuracy.EPS * Math.abs(value));
      Accuracy.assertWithin(
          "gradient at " + logProb[t],
          out.gradient()[t],
          derivative,
          4 * Accuracy.EPS * Math.abs(derivative));
    }
  }

  @ParameterizedTest
  @MethodSource("modes")
  void maskedTokensGiveZeroWhateverTheyHold(Estimator estimator, Gradient mode) {
    boolean[] mask = Noise.of(5).booleans(TOKENS, 0.5);
    float[] poisoned = LOG_PROB.clone();
    for (int t = 0; t < TOKENS; t++) {
      poisoned[t] = mask[t] ? poisoned[t] : t % 2 == 0 ? Float.NaN : Float.POSITIVE_INFINITY;
    }
    ReferenceTokenKl options = ReferenceTokenKl.of(estimator, mode);
    TokenKlCase.Outputs clean = TokenKlCase.of(options, LOG_PROB, REFERENCE).run();
    TokenKlCase.Outputs masked = TokenKlCase.of(options, poisoned, REFERENCE).withMask(mask).run();
    for (int t = 0; t < TOKENS; t++) {
      assertThat(masked.kl()[t]).isEqualTo(mask[t] ? clean.kl()[t] : 0);
      assertThat(masked.gradient()[t]).isEqualTo(mask[t] ? clean.gradient()[t] : 0);
    }
  }

  @Test
  void theUpstreamGradientMultipliesTheDerivative() {
    ReferenceTokenKl options = ReferenceTokenKl.of(Estimator.K3, Gradient.PATHWISE);
    float[] upstream = Noise.of(6).uniforms(TOKENS, -2, 2);
    TokenKlCase.Outputs plain = TokenKlCase.of(options, LOG_PROB, REFERENCE).run();
    TokenKlCase.Outputs scaled =
        TokenKlCase.of(options, LOG_PROB, REFERENCE).withUpstream(upstream).run();
    for (int t = 0; t < TOKENS; t++) {
      assertThat(scaled.kl()[t]).isEqualTo(plain.kl()[t]);
      assertThat(scaled.gradient()[t]).isEqualTo(plain.gradient()[t] * upstream[t]);
    }
  }

  @Test
  void aTokensBitsDependOnNoOtherToken() {
    ReferenceTokenKl options = ReferenceTokenKl.of(Estimator.K3, Gradient.PATHWISE);
    TokenKlCase.Outputs all = TokenKlCase.of(options, LOG_PROB, REFERENCE).run();
    for (int from = 0; from < 40; from++) {
      int to = from + 1 + from % 9;
      TokenKlCase.Outputs part =
          TokenKlCase.of(
                  options,
                  Arrays.copyOfRange(LOG_PROB, from, to),
                  Arrays.copyOfRange(REFERENCE, from, to))
              .run();
      assertThat(part.kl()).isEqualTo(Arrays.copyOfRange(all.kl(), from, to));
      assertThat(part.gradient()).isEqualTo(Arrays.copyOfRange(all.gradient(), from, to));
    }
  }

  @Test
  void noTokensGiveNoValues() {
    ReferenceTokenKl options = ReferenceTokenKl.of(Estimator.K3, Gradient.PATHWISE);
    assertThat(TokenKlCase.of(options, new float[0], new float[0]).run().kl()).isEmpty();
  }
}
