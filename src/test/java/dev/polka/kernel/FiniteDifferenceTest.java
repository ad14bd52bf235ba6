package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;

import dev.polka.reference.Accuracy;
import dev.polka.reference.FiniteDifference;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.Storage;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Gradients of the kernels are the finite differences of the kernels' own values. Steps are powers
 * of two, so that the moved inputs are exact in f32; what is left is the values' rounding over the
 * step.
 */
class FiniteDifferenceTest {
  private static final double STEP = 0x1p-5;

  /** Rounding of an f32 value, 2e-7, over the step; truncation of fourth order is below it. */
  private static final double BAR = 3e-5;

  private static final int COLS = 11;
  private static final Logits LOGITS = Logits.normal(Storage.F32, 2, COLS, 1, 0, 61);

  static Stream<ReferenceSoftmax> softmaxes() {
    return Stream.of(
        ReferenceSoftmax.PLAIN,
        ReferenceSoftmax.at(0.7f),
        ReferenceSoftmax.at(2).withSoftcap(4),
        ReferenceSoftmax.PLAIN.withKeep(Noise.of(3).booleans(COLS, 0.6)).withValidVocab(10));
  }

  @ParameterizedTest
  @MethodSource("softmaxes")
  void logProb(ReferenceSoftmax softmax) {
    LogProbCase c = LogProbCase.of(LOGITS, softmax, 3, 8);
    float[] up = {1, -0.5f};
    assertDerivative(
        c.backward(up, null, null), LOGITS, z -> dot(up, c.withLogits(z).forward().logProb()));
    assertDerivative(
        c.backward(null, up, null), LOGITS, z -> dot(up, c.withLogits(z).forward().entropy()));
    assertDerivative(
        c.backward(null, null, up),
        LOGITS,
        z -> dot(up, c.withLogits(z).forward().selfCertainty()));
  }

  private static double dot(float[] weights, float[] values) {
    return (double) weights[0] * values[0] + (double) weights[1] * values[1];
  }

  private static void assertDerivative(
      float[] gradient, Logits at, ToDoubleFunction<Logits> value) {
    double[] expected =
        FiniteDifference.gradient(
            z -> value.applyAsDouble(at.with(Storage.toF32(z))), Storage.widen(at.values()), STEP);
    for (int i = 0; i < expected.length; i++) {
      Accuracy.assertWithin("element " + i, gradient[i], expected[i], BAR);
    }
  }

  @ParameterizedTest
  @EnumSource(Estimator.class)
  void tokenKl(Estimator estimator) {
    float[] reference = {-1, -1, -1};
    for (Gradient mode : new Gradient[] {Gradient.PATHWISE, Gradient.IMPORTANCE_WEIGHTED}) {
      ReferenceTokenKl options = ReferenceTokenKl.of(estimator, mode);
      double[] logProb = {-1.75, -0.25, -1.5};
      float[] old = {-1.5f, -0.5f, -1};
      float[] gradient =
          TokenKlCase.of(options, Storage.toF32(logProb), reference).withOld(old).run().gradient();
      for (int t = 0; t < 3; t++) {
        int token = t;
        double[] expected =
            FiniteDifference.gradient(
                x ->
                    TokenKlCase.of(options, Storage.toF32(x), reference)
                        .withOld(old)
                        .run()
                        .kl()[token],
                logProb,
                STEP);
        Accuracy.assertWithin("token " + t, gradient[t], expected[t], BAR);
      }
    }
  }

  static Stream<ReferenceObjective> objectives() {
    return Stream.of(
        PPO,
        PPO.withDualClip(1.5),
        PPO.withRatioMax(1.6),
        PPO.withoutClip().withKl(Estimator.K3, Gradient.PATHWISE, 0.5).withEntropyBonus(0.3),
        PPO.withSequenceRatio(true).withKl(Estimator.K1, Gradient.IMPORTANCE_WEIGHTED, 0.5));
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void policyLossFromLogProbs(ReferenceObjective objective) {
    ReferenceBatch batch = awayFromTheClipBounds();
    Result result = PolicyLossCase.of(objective, batch).fromLogProbs();
    double[] ofLogProb =
        FiniteDifference.gradient(
            x -> PolicyLossCase.of(objective, batch.withLogProb(x)).fromLogProbs().loss,
            batch.logProb(),
            0x1p-8);
    double[] ofEntropy =
        FiniteDifference.gradient(
            x -> PolicyLossCase.of(objective, batch.withEntropy(x)).fromLogProbs().loss,
            batch.entropy(),
            STEP);
    for (int t = 0; t < ofLogProb.length; t++) {
      Accuracy.assertWithin("d_log_prob " + t, result.dLogProb[t], ofLogProb[t], 8 * BAR);
      Accuracy.assertWithin("d_entropy " + t, result.dEntropy[t], ofEntropy[t], BAR);
    }
  }

  /** Log-ratios -0.5, -0.375 .. 0.5: none within two steps of ln 0.8, ln 1.2, ln 1.5 or ln 1.6. */
  private static ReferenceBatch awayFromTheClipBounds() {
    double[] logProb = new double[9];
    double[] old = new double[9];
    double[] ref = new double[9];
    double[] entropy = new double[9];
    for (int t = 0; t < 9; t++) {
      logProb[t] = -2 + 0.125 * t;
      old[t] = -1.5;
      ref[t] = -1.25 - 0.25 * (t % 3);
      entropy[t] = 0.5 + 0.25 * t;
    }
    double[] advantages = {1, 1, -1, -1, 0.5, -0.5, 1, -1, 1};
    return new ReferenceBatch(
        new long[] {0, 4, 9},
        logProb,
        entropy,
        old,
        ref,
        advantages,
        null,
        null,
        2,
        new long[] {4, 5},
        9,
        null);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void policyLossFromLogits(boolean sequenceRatio) {
    ReferenceSoftmax softmax = ReferenceSoftmax.at(0.8f);
    long[] targets = {3, 8};
    ReferenceObjective objective =
        PPO.withoutClip().withEntropyBonus(0.3).withKl(Estimator.K3, Gradient.PATHWISE, 0.5);
    ReferenceBatch batch =
        PolicyBatches.onLogits(
            new ReferenceBatch(
                new long[] {0, 2},
                null,
                null,
                null,
                null,
                new double[] {1, -0.5},
                null,
                null,
                2,
                null,
                2,
                null),
            LOGITS,
            targets,
            softmax,
            7);
    PolicyLossCase c =
        PolicyLossCase.of(sequenceRatio ? objective.withSequenceRatio(true) : objective, batch);
    assertDerivative(
        c.fromLogits(LOGITS, targets, 0.8f).gradient(),
        LOGITS,
        z -> c.fromLogits(z, targets, 0.8f).result().loss);
  }
}
