package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.TokenBatch;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class AggregationTest {
  private static final int[] LENGTHS = {3, 2, 1, 4, 0, 5};
  private static final boolean[] MASK = {
    true, true, false, false, false, true, true, true, false, true, true, true, true, true, true
  };

  /** Tokens that count: 2, 0, 1, 3, 0, 5. */
  private static final TokenLayout STEP = layout(0, LENGTHS.length);

  /** Three prompts of one, two and three sequences. */
  private static final TokenLayout PROMPTS = TokenLayout.ofLengths(1, 2, 3);

  private static final long[] PROMPT_TOKENS = Aggregation.promptTokens(STEP, PROMPTS);

  private static TokenLayout layout(int from, int to) {
    long[] lengths = Arrays.stream(LENGTHS, from, to).asLongStream().toArray();
    int first = Arrays.stream(LENGTHS, 0, from).sum();
    int rows = Arrays.stream(LENGTHS, from, to).sum();
    return TokenLayout.ofLengths(lengths).withMask(Arrays.copyOfRange(MASK, first, first + rows));
  }

  private static Normalizer whole(Aggregation aggregation) {
    return aggregation.normalizer(StepTotals.of(STEP, PROMPTS), STEP, PROMPT_TOKENS);
  }

  /** What the tokens of each sequence weigh. */
  private static double[] weights(Aggregation aggregation) {
    Normalizer normalizer = whole(aggregation);
    double[] weights = new double[STEP.sequences()];
    for (int b = 0; b < weights.length; b++) {
      Longs counts = normalizer.tokenCounts();
      weights[b] = 1 / normalizer.divisor() / (counts == null ? 1 : Math.max(counts.get(b), 1));
    }
    return weights;
  }

  @Test
  void tokensWeighWhatTheFormulaSays() {
    double quarter = 1 / 4.0;
    assertThat(weights(Aggregation.tokenMean())).containsOnly(1 / 11.0);
    assertThat(weights(Aggregation.tokenSum())).containsOnly(1);
    assertThat(weights(Aggregation.sequenceMeanTokenSum())).containsOnly(quarter);
    assertThat(weights(Aggregation.lengthWeighted())).containsOnly(quarter);
    assertThat(weights(Aggregation.sequenceMeanTokenSumNorm(8))).containsOnly(quarter / 8);
    assertThat(weights(Aggregation.sequenceMeanTokenMean()))
        .containsExactly(quarter / 2, quarter, quarter, quarter / 3, quarter, quarter / 5);
    double third = 1 / 3.0;
    assertThat(weights(Aggregation.promptMean()))
        .containsExactly(third / 2, third, third, third / 8, third / 8, third / 8);
  }

  @Test
  void emptySequencesCountWhereTheyAreAskedFor() {
    assertThat(weights(Aggregation.sequenceMeanTokenSum().withEmptySequences()))
        .containsOnly(1 / 6.0);
  }

  @Test
  void averagedReplicasAreMadeUpFor() {
    assertThat(whole(Aggregation.tokenMean()).withAveragedReplicas(4).divisor())
        .isEqualTo(11 / 4.0);
  }

  @Test
  void thePartsOfAStepAddUpToIt() {
    StepTotals left = StepTotals.of(layout(0, 3), TokenLayout.ofLengths(1, 2));
    StepTotals right = StepTotals.of(layout(3, 6), TokenLayout.ofLengths(3));

    assertThat(left.plus(right)).isEqualTo(StepTotals.of(STEP, PROMPTS));
    assertThat(StepTotals.of(STEP, PROMPTS)).isEqualTo(new StepTotals(11, 4, 2, 3));
  }

  @Test
  void aStepWithoutTokensGivesLossZero() {
    TokenLayout none = TokenLayout.ofLengths(2).withMask(false, false);

    assertThat(Aggregation.tokenMean().normalizer(StepTotals.of(none), none).divisor()).isZero();
  }

  @Test
  void promptMeanSaysThatItNeedsThePromptsTokens() {
    StepTotals totals = StepTotals.of(STEP, PROMPTS);
    assertThatThrownBy(() -> Aggregation.promptMean().normalizer(totals, STEP))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("promptTokens: are missing");
  }

  static Stream<Arguments> modesAndLosses() {
    return Stream.of(
            Aggregation.tokenMean(),
            Aggregation.tokenSum(),
            Aggregation.sequenceMeanTokenMean(),
            Aggregation.sequenceMeanTokenMean().withEmptySequences(),
            Aggregation.sequenceMeanTokenSum(),
            Aggregation.sequenceMeanTokenSumNorm(8),
            Aggregation.promptMean(),
            Aggregation.lengthWeighted())
        .flatMap(
            aggregation ->
                Stream.of(PolicyLoss.dapo(), PolicyLoss.gspo(), PolicyLoss.gmpo())
                    .map(loss -> loss.withKl(KlEstimator.K3, 0.1).withEntropyBonus(0.01))
                    .map(loss -> Arguments.of(aggregation, loss)));
  }

  /** Every way to cut six sequences into micro-batches of neighbours: 32 of them. */
  @ParameterizedTest
  @MethodSource("modesAndLosses")
  void microBatchesAddUpToTheStepHoweverItIsCut(Aggregation aggregation, PolicyLoss loss) {
    StepTotals totals = StepTotals.of(STEP, PROMPTS);
    Run whole = run(aggregation, loss, totals, 0, LENGTHS.length);
    assertThat(Arrays.stream(whole.gradient).filter(g -> g != 0).count()).isEqualTo(11);
    for (int cuts = 0; cuts < 1 << (LENGTHS.length - 1); cuts++) {
      double sum = 0;
      double[] gradient = new double[0];
      int from = 0;
      for (int to = 1; to <= LENGTHS.length; to++) {
        if (to == LENGTHS.length || (cuts >> (to - 1) & 1) == 1) {
          Run part = run(aggregation, loss, totals, from, to);
          sum += part.loss;
          gradient = concat(gradient, part.gradient);
          from = to;
        }
      }
      Accuracy.assertWithin("loss, cuts " + cuts, sum, whole.loss, 1e-6);
      for (int row = 0; row < gradient.length; row++) {
        Accuracy.assertWithin(
            "row " + row + ", cuts " + cuts, gradient[row], whole.gradient[row], 1e-6);
      }
    }
  }

  private record Run(double loss, double[] gradient) {}

  private static double[] concat(double[] a, double[] b) {
    return Stream.of(a, b).flatMapToDouble(Arrays::stream).toArray();
  }

  private static Run run(
      Aggregation aggregation, PolicyLoss loss, StepTotals totals, int from, int to) {
    TokenLayout part = layout(from, to);
    int first = STEP.first(from);
    int end = first + part.rows();
    try (Floats logProb = values(1, first, end, -3, -0.1);
        Floats entropy = values(2, first, end, 0.1, 2);
        Floats old = values(3, first, end, -3, -0.1);
        Floats reference = values(4, first, end, -3, -0.1);
        Floats advantages = values(5, first, end, -1, 1);
        Bytes mask = part.mask();
        Longs offsets = part.offsets();
        LossResult result =
            loss.forwardBackward(
                logProb,
                entropy,
                TokenBatch.ofOffsets(offsets)
                    .withMask(mask)
                    .withOld(old)
                    .withReference(reference)
                    .withTokenAdvantages(advantages),
                aggregation.normalizer(
                    totals, part, Arrays.copyOfRange(PROMPT_TOKENS, from, to)))) {
      float[] gradient = result.logProbGradient().toArray();
      double[] wide = new double[gradient.length];
      Arrays.setAll(wide, row -> gradient[row]);
      return new Run(result.loss(), wide);
    }
  }

  private static Floats values(long stream, int first, int end, double low, double high) {
    float[] all = Noise.of(7).stream(stream).uniforms(STEP.rows(), low, high);
    return Floats.copyOf(Arrays.copyOfRange(all, first, end));
  }
}
