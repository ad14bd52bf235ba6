package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.Groups;
import dev.polka.kernel.TokenLayout;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceAdvantages;
import dev.polka.reference.ReferenceTokenReturns;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Estimators that tell tokens of one sequence apart: by hand, and against their definitions. */
class TokenEstimatorsTest {
  private static double[][] ragged(Noise noise, int[] lengths) {
    return IntStream.range(0, lengths.length)
        .mapToObj(i -> f32(noise.stream(i).doubles(lengths[i], -1, 1)))
        .toArray(double[][]::new);
  }

  private static double[] f32(double[] values) {
    return Arrays.stream(values).map(v -> (float) v).toArray();
  }

  private static double[] flat(double[][] rows) {
    return Arrays.stream(rows).flatMapToDouble(Arrays::stream).toArray();
  }

  private static void assertClose(String what, double[] actual, double[] expected) {
    assertThat(actual).hasSameSizeAs(expected);
    for (int i = 0; i < expected.length; i++) {
      Accuracy.assertTerm(what + " " + i, actual[i], expected[i], 4);
    }
  }

  private static TokenLayout layout(int... lengths) {
    return TokenLayout.ofLengths(Arrays.stream(lengths).asLongStream().toArray());
  }

  private static final int[] LENGTHS = {5, 9, 1, 7, 7, 12};
  private static final int[] GROUP = {0, 0, 0, 1, 1, 1};

  @Test
  void reinforcePlusPlusWhitensTheRewardToGo() {
    double[][] rewards = ragged(Noise.of(1), LENGTHS);
    RewardBatch batch = RewardBatch.ofTokens(layout(LENGTHS), flat(rewards));
    Advantages actual = ReinforcePlusPlus.standard().withDiscount(0.9).forward(batch);
    double[][] returns = ReferenceAdvantages.returns(rewards, 0.9);

    assertClose("return", actual.returns(), flat(returns));
    assertClose("advantage", actual.perRow(), flat(ReferenceAdvantages.whitened(returns)));
    assertThatThrownBy(() -> ReinforcePlusPlus.standard().withDiscount(1.5))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("gamma: 1.5 is outside [0, 1]");
  }

  @Test
  void reinforcePlusPlusPassesOverToolAnswers() {
    TokenLayout layout = layout(5).withMask(true, false, false, true, true);
    RewardBatch batch = RewardBatch.of(layout, 8);
    Advantages actual =
        ReinforcePlusPlus.standard().withDiscount(0.5).withoutWhitening().forward(batch);

    assertThat(actual.perRow()).containsExactly(2, 0, 0, 4, 8);
  }

  @Test
  void reMaxComparesWithTheGreedyAnswer() {
    RewardBatch batch =
        RewardBatch.of(layout(3, 2), 1, 0)
            .withTokenRewards(0, 0.5, 0, 0, 0)
            .withGreedyRewards(0.25, Double.NaN);
    Advantages actual = ReMax.standard().forward(batch);

    assertThat(actual.perRow()).containsExactly(1.25, 1.25, 0.75, 0, 0);
    assertThat(actual.returns()).containsExactly(1.5, 1.5, 1, 0, 0);
  }

  @Test
  void gaeMatchesItsDefinitionAndGivesTargets() {
    double[][] rewards = ragged(Noise.of(2), LENGTHS);
    double[][] values = ragged(Noise.of(3), LENGTHS);
    RewardBatch batch =
        RewardBatch.ofTokens(layout(LENGTHS), flat(rewards)).withValues(flat(values));
    Advantages actual = Gae.of(0.97, 0.8).withValueLambda(1).forward(batch);

    assertClose(
        "advantage", actual.perRow(), flat(ReferenceAdvantages.gae(rewards, values, 0.97, 0.8)));
    assertClose("return", actual.returns(), flat(ReferenceAdvantages.returns(rewards, 0.97)));
  }

  @Test
  void vapoGivesLongAnswersALongerView() {
    double[][] rewards = ragged(Noise.of(4), LENGTHS);
    double[][] values = ragged(Noise.of(5), LENGTHS);
    RewardBatch batch =
        RewardBatch.ofTokens(layout(LENGTHS), flat(rewards)).withValues(flat(values));
    Gae vapo = Gae.of(1, 0.95).withValueLambda(1).withLengthAdaptiveLambda(0.25);
    double[] actual = vapo.forward(batch).perRow();
    double[][] expected = new double[LENGTHS.length][];
    for (int i = 0; i < LENGTHS.length; i++) {
      double lambda = Math.max(1 - 1 / (0.25 * LENGTHS[i]), 0);
      boolean[] all = new boolean[LENGTHS[i]];
      Arrays.fill(all, true);
      expected[i] =
          new ReferenceTokenReturns(1, lambda, 1).advantages(rewards[i], values[i], all, 0);
    }

    assertClose("advantage", actual, flat(expected));
  }

  @Test
  void aSequenceThatWasCutOffGoesOnWithItsBootstrapValue() {
    RewardBatch batch =
        RewardBatch.of(layout(2, 2), 0, 0).withValues(1, 2, 1, 2).withBootstrap(10, 0);

    assertThat(Gae.of(1, 1).forward(batch).perRow()).containsExactly(9, 8, -1, -2);
  }

  @Test
  void theOptimalTokenBaselineMatchesItsDefinition() {
    double[][] rewards = ragged(Noise.of(6), LENGTHS);
    double[][] p = ragged(Noise.of(7), LENGTHS);
    double[] logProb = Arrays.stream(flat(p)).map(x -> Math.log(0.5 + 0.4 * x)).toArray();
    double[] sumP2 = Arrays.stream(flat(p)).map(x -> Math.pow(0.5 + 0.4 * x, 2) + 0.01).toArray();
    double[][] norms = new double[LENGTHS.length][];
    for (int i = 0, row = 0; i < LENGTHS.length; i++) {
      norms[i] = new double[LENGTHS[i]];
      for (int t = 0; t < LENGTHS[i]; t++, row++) {
        norms[i][t] = 1 - 2 * Math.exp(logProb[row]) + sumP2[row];
      }
    }
    RewardBatch batch =
        RewardBatch.ofTokens(layout(LENGTHS), flat(rewards))
            .withGroups(Groups.ofSize(3))
            .withScoreNorms(logProb, sumP2);

    assertClose(
        "advantage",
        OptimalTokenBaseline.standard().forward(batch).perRow(),
        flat(ReferenceAdvantages.optimalTokenBaseline(rewards, norms, GROUP)));
  }

  @Test
  void answersWhoseScoreMovedMoreWeighMore() {
    // Norms 1 and 3: 1 - 2 e^lp + p2 with lp = -inf.
    double[] never = {Double.NEGATIVE_INFINITY, Double.NEGATIVE_INFINITY};
    RewardBatch batch =
        RewardBatch.of(layout(1, 1), 4, 0)
            .withGroups(Groups.ofSize(2))
            .withScoreNorms(never, new double[] {0, 2});
    OptimalTokenBaseline baseline = OptimalTokenBaseline.standard();

    assertThat(baseline.forward(batch).perRow()).containsExactly(3, -1);
    assertThat(baseline.withImportanceWeights(Math.sqrt(3), 1).forward(batch).perRow()[0])
        .isCloseTo(2, within(1e-12));
  }

  @Test
  void toolAnswersDoNotShiftOneAnswerAgainstAnother() {
    double[] logProb = new double[6];
    Arrays.fill(logProb, Math.log(0.5));
    double[] sumP2 = {0.3, 0.4, 0.35, 0.5, 0.45, 0.4};
    TokenLayout gap = layout(3, 3).withMask(true, false, true, true, true, false);
    double[] tokens = {1, Double.NaN, 2, 4, 8, Double.NaN};
    RewardBatch with =
        RewardBatch.ofTokens(gap, tokens)
            .withGroups(Groups.ofSize(2))
            .withScoreNorms(logProb, sumP2);
    RewardBatch without =
        RewardBatch.ofTokens(layout(2, 2), 1, 2, 4, 8)
            .withGroups(Groups.ofSize(2))
            .withScoreNorms(
                new double[] {logProb[0], logProb[0], logProb[0], logProb[0]},
                new double[] {0.3, 0.35, 0.5, 0.45});
    double[] sparse = OptimalTokenBaseline.standard().forward(with).perRow();
    double[] dense = OptimalTokenBaseline.standard().forward(without).perRow();

    assertThat(new double[] {sparse[0], sparse[2], sparse[3], sparse[4]}).isEqualTo(dense);
  }

  @Test
  void roundingCannotMakeACertainTokenWeighLessThanNothing() {
    double[] certain = {0, 0};
    RewardBatch batch =
        RewardBatch.of(layout(1, 1), 4, 0)
            .withGroups(Groups.ofSize(2))
            .withScoreNorms(certain, new double[] {1 - 1e-7, 1 - 1e-7});

    assertThat(OptimalTokenBaseline.standard().forward(batch).perRow()).containsExactly(0, 0);
  }

  @Test
  void aSequenceWithoutARewardHasNoReturns() {
    RewardBatch batch = RewardBatch.of(layout(2, 1), Double.NaN, 3).withValues(1, 1, 1);

    assertThat(ReinforcePlusPlus.standard().forward(batch).returns()).containsExactly(0, 0, 3);
    assertThat(Gae.of(1, 1).forward(batch).returns()).containsExactly(0, 0, 3);
  }
}
