package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.TokenBatch;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Floats;
import dev.polka.policy.Rejection.Scope;
import java.util.Arrays;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class OffPolicyCorrectionTest {
  private static final OffPolicyCorrection NONE = OffPolicyCorrection.none();
  private static final Offset<Float> CLOSE = Offset.offset(1e-6f);
  private static final double LN2 = Math.log(2);
  private static final double LN4 = Math.log(4);

  private static TokenLayout lengths(long... lengths) {
    return TokenLayout.ofLengths(lengths);
  }

  /** The batch whose log-ratios old - rollout are these. */
  private static Correction apply(
      OffPolicyCorrection correction, TokenLayout layout, double... logRatios) {
    double[] rollout = new double[logRatios.length];
    Arrays.fill(rollout, -2);
    return correction.apply(layout, old(logRatios), rollout);
  }

  private static double[] old(double... logRatios) {
    return Arrays.stream(logRatios).map(d -> d - 2).toArray();
  }

  private static void assertKept(Correction correction, boolean... expected) {
    boolean[] kept = new boolean[expected.length];
    for (int row = 0; row < kept.length; row++) {
      kept[row] = correction.kept().counts(row);
    }
    assertThat(kept).isEqualTo(expected);
  }

  private static void assertWeights(Correction correction, double... expected) {
    float[] narrow = new float[expected.length];
    for (int row = 0; row < narrow.length; row++) {
      narrow[row] = (float) expected[row];
    }
    assertThat(correction.weights()).containsExactly(narrow, CLOSE);
  }

  @Test
  void withoutStepsEveryTokenStaysWithWeightOne() {
    Correction correction = apply(NONE, lengths(2, 1), 3, -4, 5);

    assertWeights(correction, 1, 1, 1);
    assertKept(correction, true, true, true);
    assertThat(correction.old()).containsExactly(1, -6, 3);
    assertThat(NONE).hasToString("no correction");
  }

  @Test
  void weightsAreOfTokensSequencesOrGeometricMeans() {
    double[] d = {LN4, LN2, -LN2, 0};
    TokenLayout layout = lengths(3, 1);
    double open = Double.POSITIVE_INFINITY;

    assertWeights(apply(NONE.withWeights(ImportanceWeight.tokens()), layout, d), 4, 2, 0.5, 1);
    assertWeights(
        apply(NONE.withWeights(ImportanceWeight.truncatedSequences(open)), layout, d), 4, 4, 4, 1);
    double mean = Math.cbrt(4);
    assertWeights(
        apply(NONE.withWeights(ImportanceWeight.truncatedGeometric(open)), layout, d),
        mean,
        mean,
        mean,
        1);
  }

  @Test
  void weightsOutsideTheirRangeAreTruncatedOrBecomeZero() {
    double[] d = {LN4, LN2, -LN2, -LN4};
    TokenLayout layout = lengths(4);

    assertWeights(
        apply(NONE.withWeights(ImportanceWeight.truncatedTokens(2)), layout, d), 2, 2, 0.5, 0.25);
    Correction icePop = apply(NONE.withWeights(ImportanceWeight.icePop(0.4, 2.1)), layout, d);
    assertWeights(icePop, 0, 2, 0.5, 0);
    assertKept(icePop, true, true, true, true);
    assertWeights(
        apply(NONE.withWeights(ImportanceWeight.maskedSequences(3)), lengths(1, 3), d),
        0,
        0.25,
        0.25,
        0.25);
  }

  @ParameterizedTest
  @ValueSource(doubles = {10.5, 15, 19.9, 20.1, 89, 100, Double.POSITIVE_INFINITY})
  void logRatiosAreHeldBeforeExp(double d) {
    Correction correction = apply(NONE.withWeights(ImportanceWeight.tokens()), lengths(1), -d);

    assertWeights(correction, Math.exp(-Math.min(d, 20)));
    assertThat(correction.metrics().meanWeight()).isFinite();
  }

  @Test
  void whatStandsUnderAMaskIsNotRead() {
    TokenLayout layout = lengths(3).withMask(true, false, true);
    double nan = Double.NaN;
    OffPolicyCorrection all =
        NONE.withVeto(1e-4, 100)
            .withRejection(Rejection.above(KlEstimator.K3, Scope.SEQUENCE_MAX, 1))
            .withSecondMoment(1)
            .withWeights(ImportanceWeight.truncatedSequences(3))
            .withNormalizedWeights();

    Correction correction =
        all.apply(layout, new double[] {-1, nan, -1}, new double[] {-1.5, nan, -1.25});

    assertWeights(correction, 1, 0, 1);
    assertKept(correction, true, false, true);
  }

  @Test
  void theVetoDropsSequencesWithAnExtremeToken() {
    assertKept(
        apply(NONE.withVeto(0.1, 100), lengths(2, 2, 1), 0, -3, 5, 0, 2),
        false,
        false,
        false,
        false,
        true);
  }

  @Test
  void rejectionTestsTokensSumsMeansOrMaxima() {
    double[] d = {0.5, -0.5, 0.25, 0.25, 1};
    TokenLayout layout = lengths(2, 2, 1);

    assertKept(
        apply(NONE.withRejection(new Rejection(KlEstimator.K1, Scope.TOKEN, -0.3, 0.3)), layout, d),
        false,
        false,
        true,
        true,
        false);
    assertKept(
        apply(
            NONE.withRejection(Rejection.above(KlEstimator.K2, Scope.SEQUENCE_SUM, 0.2)),
            layout,
            d),
        false,
        false,
        true,
        true,
        false);
    assertKept(
        apply(NONE.withRejection(Rejection.ofRatio(Scope.SEQUENCE_MEAN, 0.9, 1.1)), layout, d),
        true,
        true,
        false,
        false,
        false);
    assertKept(
        apply(NONE.withRejection(Rejection.ofRatio(Scope.SEQUENCE_SUM, 1.5, 2)), layout, d),
        false,
        false,
        true,
        true,
        false);
    // k3 is e^d - 1 - d: 0.149 at 0.5, 0.107 at -0.5, 0.034 at 0.25.
    assertKept(
        apply(
            NONE.withRejection(Rejection.above(KlEstimator.K3, Scope.SEQUENCE_MAX, 0.12)),
            layout,
            d),
        false,
        false,
        true,
        true,
        false);
    assertKept(
        apply(
            NONE.withRejection(Rejection.above(KlEstimator.K3, Scope.SEQUENCE_MEAN, 0.13)),
            layout,
            d),
        true,
        true,
        true,
        true,
        false);
  }

  @Test
  void aRatioOfThePolicyOverTheSamplerIsTested() {
    Rejection test = Rejection.ofRatio(Scope.TOKEN, 0.5, 5);

    assertKept(
        apply(NONE.withRejection(test), lengths(4), Math.log(0.3), Math.log(3), LN4, Math.log(6)),
        false,
        true,
        true,
        false);
  }

  @Test
  void everyTestHasToBePassed() {
    OffPolicyCorrection both =
        NONE.withRejection(Rejection.ofRatio(Scope.TOKEN, 0.5, 5))
            .withRejection(Rejection.above(KlEstimator.ABS, Scope.SEQUENCE_MEAN, 1));

    assertKept(apply(both, lengths(2, 1), 3, 0.5, 0), false, false, true);
  }

  @Test
  void theSequenceMaskDropsWhatDidBadlyAndHasDrifted() {
    double[] rollout = {-2, -2, -2, -2};
    double[] old = old(-0.5, -0.5, -0.5, 0.5);

    Correction correction =
        NONE.withSequenceMask(0.25).apply(lengths(1, 1, 1, 1), old, rollout, -1, 1, 0, -1);

    assertKept(correction, false, true, true, true);
    assertThatThrownBy(() -> NONE.withSequenceMask(0.25).apply(lengths(1, 1, 1, 1), old, rollout))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("advantages: are missing, which the sequence mask needs");
  }

  @Test
  void theSecondMomentDropsTheFarthestUntilTheRestIsBelowTheBound() {
    double[] d = {0, 2, -1, 1, 0};

    assertKept(apply(NONE.withSecondMoment(0.51), lengths(5), d), true, false, true, true, true);
    // Equal squares: the lower row goes first.
    assertKept(apply(NONE.withSecondMoment(0.5), lengths(5), d), true, false, false, true, true);
    assertKept(apply(NONE.withSecondMoment(1e-9), lengths(2), 1, 1), false, false);
  }

  static Stream<OffPolicyCorrection> waysToDropTheSecondSequence() {
    return Stream.of(
        NONE.withVeto(0.1, 100),
        NONE.withRejection(Rejection.ofRatio(Scope.SEQUENCE_MEAN, 0.3, 3)),
        NONE.withSequenceMask(1));
  }

  /**
   * Weights 1, 4 | 1/20, 1 | 2, 1/2. The second sequence goes. Of the squares left, 0, 1.92, 0.48
   * and 0.48, the largest goes too: their mean is 0.72. (With the second sequence it would stay: 9
   * would go, and the mean of the others is 0.576.) Truncated, 1, 1.8 and 0.5 are left; divided by
   * their mean, 1.1.
   */
  @ParameterizedTest
  @MethodSource("waysToDropTheSecondSequence")
  void theStepsRunInTheOrderThatIsDocumented(OffPolicyCorrection first) {
    OffPolicyCorrection correction =
        first
            .withNormalizedWeights()
            .withWeights(ImportanceWeight.truncatedTokens(1.8))
            .withSecondMoment(0.6);
    double[] rollout = {-2, -2, -2, -2, -2, -2};

    Correction result =
        correction.apply(lengths(2, 2, 2), old(0, LN4, -3, 0, LN2, -LN2), rollout, 1, -1, 1);

    assertKept(result, true, false, false, false, true, true);
    assertWeights(result, 1 / 1.1, 0, 0, 0, 1.8 / 1.1, 0.5 / 1.1);
    assertThat(result.metrics().normalizer()).isCloseTo(1.1, Offset.offset(1e-12));
  }

  @Test
  void theStepsThatAreOnAreNamedInTheirOrder() {
    OffPolicyCorrection correction =
        NONE.withBypass()
            .withNormalizedWeights()
            .withWeights(ImportanceWeight.truncatedTokens(1.5))
            .withSecondMoment(0.5)
            .withSequenceMask(1)
            .withVeto(0, 10);

    assertThat(correction)
        .hasToString(
            "veto outside [0.0, 10.0], sequence mask 1.0, second moment < 0.5,"
                + " ImportanceWeight[level=TOKEN, low=0.0, high=1.5, outside=TRUNCATE],"
                + " normalized, bypass");
  }

  @Test
  void testsAreJudgedOnWhatCountedAtFirst() {
    // Without its first token the sequence's mean would be 0, and it would stay.
    OffPolicyCorrection correction =
        NONE.withRejection(Rejection.ofRatio(Scope.TOKEN, 0, 2))
            .withRejection(Rejection.ofRatio(Scope.SEQUENCE_MEAN, 0.9, 1.1));

    assertKept(apply(correction, lengths(2), LN4, 0), false, false);
  }

  @Test
  void theWeightOfASequenceIsThatOfAllThatWasDrawn() {
    OffPolicyCorrection correction =
        NONE.withRejection(Rejection.ofRatio(Scope.TOKEN, 0, 3))
            .withWeights(ImportanceWeight.truncatedSequences(100));

    assertWeights(apply(correction, lengths(2), LN4, LN2), 0, 8);
  }

  @Test
  void sequenceWeightsAreNormalizedBySequences() {
    OffPolicyCorrection correction =
        NONE.withWeights(ImportanceWeight.truncatedSequences(100)).withNormalizedWeights();

    // 4, 4, 4 and 2: the mean over sequences is 3.
    assertWeights(
        apply(correction, lengths(3, 1), LN4, 0, 0, LN2), 4 / 3.0, 4 / 3.0, 4 / 3.0, 2 / 3.0);
  }

  @Test
  void bypassTakesTheSamplerForTheOldPolicy() {
    Correction correction = apply(NONE.withBypass(), lengths(2), 1, -1);

    assertThat(correction.old()).containsExactly(-2, -2);
    assertWeights(correction, 1, 1);
  }

  @Test
  void metricsSayHowFarOffTheBatchIs() {
    OffPolicyCorrection correction =
        NONE.withVeto(0, 5).withWeights(ImportanceWeight.truncatedTokens(2));

    CorrectionMetrics metrics =
        apply(correction, lengths(3, 1), LN4, LN2, -LN2, Math.log(10)).metrics();

    assertThat(metrics.meanWeight()).isCloseTo(1.5, Offset.offset(1e-12));
    assertThat(metrics.minWeight()).isCloseTo(0.5, Offset.offset(1e-12));
    assertThat(metrics.maxWeight()).isEqualTo(2);
    assertThat(metrics.effectiveShare()).isCloseTo(4.5 * 4.5 / (3 * 8.25), Offset.offset(1e-12));
    assertThat(metrics.fractionHigh()).isEqualTo(0.5);
    assertThat(metrics.droppedTokens()).isEqualTo(0.25);
    assertThat(metrics.droppedSequences()).isEqualTo(0.5);
    assertThat(metrics.kl()).isCloseTo(-Math.log(40) / 4, Offset.offset(1e-6));
    assertThat(metrics.k3()).isCloseTo((16.5 - 4 - Math.log(40)) / 4, Offset.offset(1e-6));
  }

  @Test
  void aBatchWithoutTokensGivesNoNan() {
    TokenLayout none = lengths(2).withMask(false, false);

    Correction correction =
        apply(NONE.withNormalizedWeights().withSecondMoment(1), none, Double.NaN, Double.NaN);

    assertWeights(correction, 0, 0);
    assertThat(correction.metrics())
        .isEqualTo(new CorrectionMetrics(0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0));
  }

  @Test
  void theResultFeedsTheBatchOfTheLoss() {
    Correction correction =
        apply(
            NONE.withVeto(0, 10).withWeights(ImportanceWeight.truncatedTokens(2)),
            lengths(2, 1),
            LN4,
            0,
            5);
    try (Floats logProb = Floats.copyOf(correction.old());
        Floats old = Floats.copyOf(correction.old());
        Floats weights = Floats.copyOf(correction.weights());
        Floats advantages = Floats.copyOf(1, 1)) {
      TokenBatch batch =
          TokenBatch.ofOffsets(correction.kept().offsets())
              .withMask(correction.kept().mask())
              .withOld(old)
              .withWeights(weights)
              .withSequenceAdvantages(advantages);

      LossResult result = PolicyLoss.ppo().forwardBackward(logProb, null, batch, Normalizer.none());

      assertThat(result.logProbGradient().toArray()).containsExactly(-2, -1, 0);
      result.close();
    }
  }
}
