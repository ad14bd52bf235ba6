package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceTokenKl;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** N5: log-ratios are bounded before exp, with gradient 0 where the bound holds. */
class N05BoundedRatiosTest {
  private static final double[] SIZES = {10.5, 15, 19.9, 20.1, 89, 100};

  @ParameterizedTest
  @ValueSource(doubles = {-1, 1})
  void k3IsBoundedByMaxLogRatioAndItsGradientIsZeroBeyond(double sign) {
    for (double size : SIZES) {
      float d = (float) (sign * size);
      ReferenceTokenKl options = ReferenceTokenKl.of(Estimator.K3, Gradient.PATHWISE);
      TokenKlCase c = TokenKlCase.of(options, new float[] {d}, new float[] {0});
      ReferenceTokenKl.Term expected = c.expected(0);
      assertClose("value at " + d, c.run().kl()[0], expected.value(), size);
      assertClose("gradient at " + d, c.run().gradient()[0], expected.derivative(), size);
      assertThat(c.run().gradient()[0] == 0).as("gradient at %s", d).isEqualTo(size > 20);
    }
  }

  /** exp turns an error of d into the same relative error: half an ulp of d is d eps / 2. */
  private static void assertClose(String what, double actual, double expected, double d) {
    Accuracy.assertWithin(
        what, actual, expected, 4 * Accuracy.EPS * Math.abs(expected) * Math.max(1, d / 8));
  }

  @ParameterizedTest
  @ValueSource(doubles = {-1, 1})
  void k3MaxBoundsTheValueAndStopsTheGradient(double sign) {
    for (double size : SIZES) {
      float d = (float) (sign * size);
      ReferenceTokenKl options =
          ReferenceTokenKl.of(Estimator.K3, Gradient.PATHWISE)
              .withMaxLogRatio(Double.POSITIVE_INFINITY)
              .withK3Max(10);
      TokenKlCase c = TokenKlCase.of(options, new float[] {d}, new float[] {0});
      assertThat(c.run().kl()[0])
          .isEqualTo(sign < 0 || size > 11 ? 10 : (float) c.expected(0).value());
      assertThat(c.run().gradient()[0]).isEqualTo((float) c.expected(0).derivative());
      assertThat(c.run().gradient()[0]).isFinite();
    }
  }

  @ParameterizedTest
  @ValueSource(floats = {10.5f, 15, 19.9f, 20.1f, 89, 100, Float.POSITIVE_INFINITY})
  void k1AbsAndK2AreNeverBounded(float d) {
    float[] logProb = {d, -d};
    float[] zero = {0, 0};
    assertThat(run(Estimator.K1, logProb, zero).kl()).containsExactly(d, -d);
    assertThat(run(Estimator.ABS, logProb, zero).kl()).containsExactly(d, d);
    assertThat(run(Estimator.K2, logProb, zero).kl()).containsExactly(d * d / 2, d * d / 2);
    assertThat(run(Estimator.K2, logProb, zero).gradient()).containsExactly(d, -d);
  }

  private static TokenKlCase.Outputs run(Estimator estimator, float[] logProb, float[] reference) {
    return TokenKlCase.of(ReferenceTokenKl.of(estimator, Gradient.PATHWISE), logProb, reference)
        .run();
  }

  @Test
  void anInfiniteDifferenceGivesABoundedK3WithoutGradient() {
    float[] logProb = {Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY};
    TokenKlCase.Outputs out = run(Estimator.K3, logProb, new float[] {0, 0});
    assertThat(out.kl()[0]).isEqualTo(19);
    assertClose("k3 at -inf", out.kl()[1], Math.exp(20) - 21, 20);
    assertThat(out.gradient()).containsExactly(0, 0);
  }

  /** One token with log-ratio d and advantage a, alone in its sequence. */
  private static ReferenceBatch token(double d, double advantage) {
    return new ReferenceBatch(
        new long[] {0, 1},
        new double[] {-1},
        null,
        new double[] {(float) (-1 - d)},
        new double[] {-1},
        new double[] {advantage},
        null,
        null,
        1,
        null,
        1,
        null);
  }

  @ParameterizedTest
  @ValueSource(doubles = {-1, 1})
  void tokenRatiosAreBoundedOnBothSides(double advantage) {
    for (double sign : new double[] {-1, 1}) {
      for (double size : SIZES) {
        ReferenceBatch batch = token(sign * size, advantage);
        Result out = PolicyLossCase.of(PPO.withoutClip(), batch).fromLogProbs();
        double d = batch.logProb()[0] - batch.old()[0];
        double ratio = Math.exp(Math.max(-20, Math.min(20, d)));
        assertClose("loss at " + d, out.loss, -advantage * ratio, size);
        assertClose("gradient at " + d, out.dLogProb[0], size > 20 ? 0 : -advantage * ratio, size);
      }
    }
  }

  @Test
  void withoutABoundTheRatioIsTheExponential() {
    ReferenceObjective open = PPO.withoutClip().withMaxLogRatio(Double.POSITIVE_INFINITY);
    for (double d : new double[] {19.9, 20.1, 60, -60}) {
      ReferenceBatch batch = token(d, 1);
      Result out = PolicyLossCase.of(open, batch).fromLogProbs();
      double exact = batch.logProb()[0] - batch.old()[0];
      assertClose("loss at " + d, out.loss, -Math.exp(exact), Math.abs(d));
      assertClose("gradient at " + d, out.dLogProb[0], -Math.exp(exact), Math.abs(d));
    }
  }

  @Test
  void theSequenceRatioIsBoundedAboveAlone() {
    for (boolean throughMean : new boolean[] {false, true}) {
      ReferenceObjective objective =
          PPO.withoutClip().withSequenceRatio(throughMean).withSequenceMaxLogRatio(10);
      for (double d : new double[] {9.5, 10.5, 100, -10.5, -30}) {
        ReferenceBatch batch = token(d, 1);
        Result out = PolicyLossCase.of(objective, batch).fromLogProbs();
        double exact = batch.logProb()[0] - batch.old()[0];
        double ratio = Math.exp(Math.min(exact, 10));
        assertClose("loss at " + d, out.loss, -ratio, Math.abs(d));
        assertClose("gradient at " + d, out.dLogProb[0], d > 10 ? 0 : -ratio, Math.abs(d));
      }
    }
  }

  /** What nobody sets is 20. */
  @Test
  void theDefaultBoundIsTwenty() {
    for (float d : new float[] {15, 19, 21, 40}) {
      try (Floats logProb = Floats.copyOf(d);
          Floats old = Floats.copyOf(0);
          LossResult r =
              PolicyLoss.importanceSampling()
                  .forward(
                      logProb,
                      null,
                      TokenBatch.of(Longs.copyOf(0), Longs.copyOf(0, 1))
                          .withOld(old)
                          .withAdvantages(Floats.copyOf(1)),
                      Normalizer.none())) {
        double expected = -Math.exp(Math.min(d, 20));
        assertThat(r.loss()).as("d = %s", d).isCloseTo(expected, Offset.offset(-1e-5 * expected));
      }
    }
  }
}
