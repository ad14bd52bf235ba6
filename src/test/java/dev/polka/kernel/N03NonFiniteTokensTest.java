package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static java.lang.Double.NEGATIVE_INFINITY;
import static java.lang.Double.NaN;
import static java.lang.Double.POSITIVE_INFINITY;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * N3 in the policy loss: a log-prob or advantage that is not finite makes its row and the loss NaN,
 * or is masked on request; the metrics count such rows either way.
 */
class N03NonFiniteTokensTest {
  private static final int ROW = 9;
  private static final int COLS = 60;

  static Stream<Arguments> faults() {
    ReferenceObjective full =
        PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1).withEntropyBonus(0.1);
    return Stream.of(full, full.withSequenceRatio(false), full.withSequenceRatio(true))
        .flatMap(
            o ->
                Stream.of(NaN, POSITIVE_INFINITY, NEGATIVE_INFINITY)
                    .flatMap(v -> Stream.of(Arguments.of(o, v, true), Arguments.of(o, v, false))));
  }

  private static ReferenceBatch faulty(double value, boolean inLogProb) {
    ReferenceBatch batch = PolicyBatches.batch(3, 0.3);
    double[] changed = (inLogProb ? batch.logProb() : batch.advantages()).clone();
    changed[ROW] = value;
    changed[20] = value;
    return inLogProb ? batch.withLogProb(changed) : batch.withAdvantages(changed);
  }

  @ParameterizedTest
  @MethodSource("faults")
  void theLossIsNanAndTheRowsAreCounted(
      ReferenceObjective objective, double value, boolean inLogProb) {
    Result out = PolicyLossCase.of(objective, faulty(value, inLogProb)).fromLogProbs();
    assertThat(out.loss).isNaN();
    assertThat(out.dLogProb[ROW]).isNaN();
    assertThat(out.nonFiniteRows).isEqualTo(2);
    assertThat(out.firstNonFiniteRow).isEqualTo(ROW);
  }

  /** Rows 0 to 2 are the first sequence, row 9 belongs to the third. */
  @ParameterizedTest
  @MethodSource("faults")
  void otherSequencesKeepTheirGradient(
      ReferenceObjective objective, double value, boolean inLogProb) {
    Result clean = PolicyLossCase.of(objective, PolicyBatches.batch(3, 0.3)).fromLogProbs();
    Result out = PolicyLossCase.of(objective, faulty(value, inLogProb)).fromLogProbs();
    for (int row = 0; row < 4; row++) {
      assertThat(out.dLogProb[row]).isEqualTo(clean.dLogProb[row]);
    }
  }

  @ParameterizedTest
  @MethodSource("faults")
  void skippingMasksTheRows(ReferenceObjective objective, double value, boolean inLogProb) {
    ReferenceBatch batch = faulty(value, inLogProb);
    boolean[] mask = batch.mask().clone();
    mask[ROW] = false;
    mask[20] = false;
    Result out = PolicyLossCase.of(objective.withSkipNonFinite(), batch).fromLogProbs();
    Result masked = PolicyLossCase.of(objective, batch.withMask(mask)).fromLogProbs();
    assertThat(out.loss).isEqualTo(masked.loss).isFinite();
    assertThat(out.dLogProb).isEqualTo(masked.dLogProb);
    assertThat(out.tokens).isEqualTo(masked.tokens).isEqualTo(24);
    assertThat(out.nonFiniteRows).isEqualTo(2);
    assertThat(out.firstNonFiniteRow).isEqualTo(ROW);
  }

  @ParameterizedTest
  @MethodSource("faults")
  void fromLogitsAnImpossibleTargetIsSuchARow(
      ReferenceObjective objective, double ignored, boolean poisoned) {
    long[] targets = Noise.of(1).indices(PolicyBatches.ROWS, COLS);
    Logits clean = Logits.normal(PolicyBatches.ROWS, COLS, 2);
    float fault = poisoned ? Float.NaN : Float.NEGATIVE_INFINITY;
    Logits logits = clean.with(ROW, (int) targets[ROW], fault);
    ReferenceBatch batch =
        PolicyBatches.onLogits(PolicyBatches.batch(3, 0.3), clean, targets, PLAIN, 3);
    PolicyLossCase.Fused strict =
        PolicyLossCase.of(objective, batch).fromLogits(logits, targets, 1);
    PolicyLossCase.Fused skipping =
        PolicyLossCase.of(objective.withSkipNonFinite(), batch).fromLogits(logits, targets, 1);
    assertThat(strict.result().loss).isNaN();
    assertThat(skipping.result().loss).isFinite();
    assertThat(logits.split(skipping.gradient())[ROW]).containsOnly(0);
    assertThat(logits.split(skipping.gradient())[0])
        .isEqualTo(logits.split(strict.gradient())[0])
        .doesNotContain(Float.NaN);
    for (Result r : new Result[] {strict.result(), skipping.result()}) {
      assertThat(r.nonFiniteRows).isEqualTo(1);
      assertThat(r.firstNonFiniteRow).isEqualTo(ROW);
    }
  }
}
