package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.Storage;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every compiled instruction set that this machine has gives the same results within the bar. */
class SimdTargetsTest {
  private static final int COLS = 9001;
  private static final Logits LOGITS = Logits.normal(Storage.BF16, 3, COLS, 3, 0, 71);
  private static final Logits OTHER = Logits.normal(Storage.BF16, 3, COLS, 3, 0, 72);
  private static final long[] TARGETS = {0, 4096, 9000};

  static List<SimdTarget> targets() {
    return Stream.of(SimdTarget.values())
        .filter(t -> t != SimdTarget.NONE && Backend.supports(t))
        .toList();
  }

  @AfterEach
  void returnToTheBest() {
    Backend.forceTarget(SimdTarget.NONE);
  }

  @Test
  void thisMachineHasATarget() {
    assertThat(targets()).isNotEmpty().contains(Backend.target());
  }

  @ParameterizedTest
  @MethodSource("targets")
  void everyOperationReportsTheForcedTarget(SimdTarget target) {
    Backend.forceTarget(target);
    TokenBatch batch =
        TokenBatch.of(Longs.copyOf(TARGETS), Longs.copyOf(0, 3))
            .withSequenceAdvantages(Floats.copyOf(1));
    try (Matrix student = LOGITS.matrix();
        Matrix teacher = OTHER.matrix();
        LogProbs lp = LogProb.plain().forward(student, Targets.of(Longs.copyOf(TARGETS)));
        DivergenceResult divergence =
            Divergence.reverseKl().forward(student, teacher, Rows.all(), Normalizer.none());
        LossResult loss = PolicyLoss.ppo().forward(student, batch, Normalizer.tokens(3))) {
      assertThat(lp.target()).isEqualTo(target);
      assertThat(divergence.target()).isEqualTo(target);
      assertThat(loss.target()).isEqualTo(target);
      assertThat(Backend.target()).isEqualTo(target);
      assertThat(Backend.describe()).contains(target.name());
    }
  }

  @ParameterizedTest
  @MethodSource("targets")
  void logProbAgreesWithTheBestTarget(SimdTarget target) {
    LogProbCase c = LogProbCase.of(LOGITS, ReferenceSoftmax.at(0.7f), TARGETS);
    LogProbCase.Outputs best = c.forward();
    Backend.forceTarget(target);
    LogProbCase.Outputs out = c.forward();
    Accuracy.assertLogProbs("log_prob", out.logProb(), Storage.widen(best.logProb()));
    Accuracy.assertEntropies("entropy", COLS, out.entropy(), Storage.widen(best.entropy()));
    c.assertForward(out);
    c.assertBackward();
  }

  @ParameterizedTest
  @MethodSource("targets")
  void divergencesAgreeWithTheBestTarget(SimdTarget target) {
    for (ReferenceDivergence kind : DivergenceAccuracyTest.kinds().toList()) {
      DivergenceCase c = DivergenceCase.of(kind, LOGITS, OTHER, ReferenceSoftmax.at(1.3f));
      Backend.forceTarget(SimdTarget.NONE);
      DivergenceCase.Outputs best = c.run();
      Backend.forceTarget(target);
      DivergenceCase.Outputs out = c.run();
      Accuracy.assertEntropies("value", COLS, out.value(), Storage.widen(best.value()));
      c.assertAll(out);
    }
  }

  @ParameterizedTest
  @MethodSource("targets")
  void tokenKlAndPolicyLossMeetTheBar(SimdTarget target) {
    Backend.forceTarget(target);
    ReferenceTokenKl options = ReferenceTokenKl.of(Estimator.K3, Gradient.PATHWISE);
    float[] logProb = Noise.of(1).uniforms(37, -2, 0);
    TokenKlCase c = TokenKlCase.of(options, logProb, Noise.of(2).uniforms(37, -2, 0));
    float[] kl = c.run().kl();
    for (int t = 0; t < 37; t++) {
      Accuracy.assertTerm("kl " + t, kl[t], c.expected(t).value(), 2);
    }
    new PolicyLossAccuracy(
            PolicyLossCase.of(
                PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1), PolicyBatches.batch(3, 0.3)))
        .assertFromLogProbs();
  }

  @Test
  void aTargetThatIsMissingIsRefusedByName() {
    for (SimdTarget target : SimdTarget.values()) {
      if (target != SimdTarget.NONE && !Backend.supports(target)) {
        assertThatThrownBy(() -> Backend.forceTarget(target)).hasMessageContaining(target.name());
      }
    }
  }
}
