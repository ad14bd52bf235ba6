package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.EpsilonPlacement;
import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.kernel.Singleton;
import dev.polka.kernel.TokenLayout;
import dev.polka.policy.RewardStep.Sequence;
import dev.polka.reference.Accuracy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds for every estimator, or for every estimator of a kind. */
class AdvantageEstimatorsTest {
  private static final AdvantageEstimator MAX_RL = OutcomeAdvantage.of(GroupAdvantage.maxRl());
  private static final AdvantageEstimator GPG = Gpg.standard();

  /** Each prompt by itself: no statistic of the batch. */
  static Stream<AdvantageEstimator> withinGroups() {
    return Stream.of(
        OutcomeAdvantage.of(GroupAdvantage.grpo()),
        OutcomeAdvantage.of(GroupAdvantage.grpoLeaveOneOut()),
        OutcomeAdvantage.of(GroupAdvantage.drGrpo()),
        OutcomeAdvantage.of(GroupAdvantage.rloo()),
        OutcomeAdvantage.of(GroupAdvantage.opo()),
        OutcomeAdvantage.of(GroupAdvantage.passAtK()),
        OutcomeAdvantage.of(GroupAdvantage.softMean(2)),
        MAX_RL,
        Gdpo.of(1, 0.5).withoutWhitening(),
        OptimalTokenBaseline.standard());
  }

  /** With a statistic of the batch besides. */
  static Stream<AdvantageEstimator> overTheBatch() {
    return Stream.of(
        OutcomeAdvantage.of(GroupAdvantage.grpo()).withBatchStd(),
        GPG,
        Gdpo.of(1, 0.5),
        ReinforcePlusPlusBaseline.standard());
  }

  static Stream<AdvantageEstimator> grouped() {
    return Stream.concat(withinGroups(), overTheBatch());
  }

  static Stream<AdvantageEstimator> all() {
    return Stream.concat(
        grouped(),
        Stream.of(
            OutcomeAdvantage.raw(),
            ReinforcePlusPlus.standard(),
            ReinforcePlusPlus.standard().withoutWhitening(),
            ReMax.standard(),
            Gae.of(0.99, 0.95),
            Gae.of(1, 1).withWhitening(Whitening.biased()).withClip(-2, 2)));
  }

  /** Estimators for which a reward common to a group moves nothing. */
  static Stream<AdvantageEstimator> shiftInvariant() {
    return grouped().filter(e -> e != MAX_RL && e != GPG);
  }

  private static double[] perRow(AdvantageEstimator estimator, RewardBatch batch) {
    return estimator.forward(batch).perRow();
  }

  private static void assertClose(double[] actual, double[] expected) {
    assertThat(actual).hasSameSizeAs(expected);
    for (int row = 0; row < actual.length; row++) {
      double bound = 1e-5 * Math.max(1, Math.abs(expected[row]));
      Accuracy.assertWithin("row " + row, actual[row], expected[row], bound);
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void whatIsMaskedIsNotReadAndGetsZero(AdvantageEstimator estimator) {
    RewardBatch batch = RewardStep.of(1, 6).outcomes();
    double[] advantages = perRow(estimator, batch);
    for (int row = 0; row < advantages.length; row++) {
      assertThat(advantages[row]).isFinite();
      assertThat(batch.layout().counts(row) || advantages[row] == 0).isTrue();
    }
  }

  @ParameterizedTest
  @MethodSource("all")
  void aSequenceWithoutARewardIsAsIfItWereNotThere(AdvantageEstimator estimator) {
    RewardStep step = RewardStep.of(2, 6);
    List<Sequence> gaps = new ArrayList<>(step.sequences());
    List<Sequence> rest = new ArrayList<>(step.sequences());
    int gap = 4;
    gaps.set(gap, gaps.get(gap).withReward(Double.NaN));
    rest.remove(gap);
    double[] with = perRow(estimator, new RewardStep(gaps).outcomes());
    double[] without = perRow(estimator, new RewardStep(rest).outcomes());
    int first = new RewardStep(gaps).layout().first(gap);
    int end = new RewardStep(gaps).layout().end(gap);
    assertThat(Arrays.copyOfRange(with, first, end)).containsOnly(0);
    assertClose(
        IntStream.range(0, with.length)
            .filter(row -> row < first || row >= end)
            .mapToDouble(row -> with[row])
            .toArray(),
        without);
  }

  @ParameterizedTest
  @MethodSource("all")
  void aStepWithoutAnyRewardGivesZero(AdvantageEstimator estimator) {
    RewardStep step = RewardStep.of(3, 4).map(s -> s.withReward(Double.NaN));
    assertThat(perRow(estimator, step.outcomes())).containsOnly(0);
  }

  @ParameterizedTest
  @MethodSource("all")
  void anAllMaskedBatchGivesZero(AdvantageEstimator estimator) {
    TokenLayout nothing = TokenLayout.padded(3, 0, 0, 0, 0);
    double[] nan = new double[12];
    Arrays.fill(nan, Double.NaN);
    RewardBatch batch =
        RewardBatch.ofComponents(nothing, new double[] {1, 2, 3, 4}, new double[] {4, 3, 2, 2})
            .withGroups(Groups.ofSize(2))
            .withGreedyRewards(1, 1, 1, 1)
            .withTokenRewards(nan)
            .withValues(nan)
            .withScoreNorms(nan, nan);
    assertThat(perRow(estimator, batch)).containsOnly(0);
  }

  @ParameterizedTest
  @MethodSource("all")
  void noSequencesGiveNoAdvantages(AdvantageEstimator estimator) {
    assertThat(perRow(estimator, new RewardStep(List.of()).outcomes())).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("grouped")
  void equalRewardsGiveExactlyZero(AdvantageEstimator estimator) {
    for (int n = 2; n <= 64; n++) {
      long[] lengths = IntStream.range(0, n).mapToLong(i -> 1 + i % 3).toArray();
      TokenLayout layout = TokenLayout.ofLengths(lengths);
      double[] half = new double[layout.rows()];
      Arrays.fill(half, Math.log(0.5));
      double[] p2 = new double[layout.rows()];
      Arrays.fill(p2, 0.4);
      double[] rewards = new double[n];
      for (int hundredth = 1; hundredth <= 100; hundredth++) {
        Arrays.fill(rewards, hundredth / 100.0);
        RewardBatch batch =
            RewardBatch.ofComponents(layout, rewards, rewards)
                .withGroups(Groups.ofSize(n))
                .withScoreNorms(half, p2);
        assertThat(perRow(estimator, batch)).containsOnly(0);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("grouped")
  void groupsOfOneGiveZero(AdvantageEstimator estimator) {
    RewardStep alone = RewardStep.of(5, 9);
    List<Sequence> first = new ArrayList<>();
    for (int g = 0; g < 9; g++) {
      first.add(alone.groups(g, g + 1).sequences().get(0));
    }
    assertThat(perRow(estimator, new RewardStep(first).outcomes())).containsOnly(0);
  }

  @ParameterizedTest
  @MethodSource("all")
  void theOrderOfGroupsAndOfTheirMembersDoesNotMatter(AdvantageEstimator estimator) {
    RewardStep step = RewardStep.of(6, 7);
    List<Sequence> shuffled = new ArrayList<>(step.sequences());
    Collections.shuffle(shuffled, new Random(1));
    shuffled.sort(Comparator.comparingInt(s -> (s.group() * 5) % 7));
    double[] original = perRow(estimator, step.outcomes());
    double[] other = perRow(estimator, new RewardStep(shuffled).outcomes());
    TokenLayout from = step.layout();
    TokenLayout to = new RewardStep(shuffled).layout();
    for (int i = 0; i < shuffled.size(); i++) {
      int b = step.sequences().indexOf(shuffled.get(i));
      assertClose(
          Arrays.copyOfRange(other, to.first(i), to.end(i)),
          Arrays.copyOfRange(original, from.first(b), from.end(b)));
    }
  }

  @ParameterizedTest
  @MethodSource("shiftInvariant")
  void aRewardCommonToAllMovesNothing(AdvantageEstimator estimator) {
    RewardStep step = RewardStep.of(7, 6);
    RewardStep shifted = step.map(s -> s.withReward(s.reward() + 8));
    RewardStep same = step.map(s -> s.withReward(s.reward()));
    assertClose(perRow(estimator, shifted.outcomes()), perRow(estimator, same.outcomes()));
  }

  @ParameterizedTest
  @MethodSource("withinGroups")
  void aStepCutBetweenGroupsGivesTheSameBits(AdvantageEstimator estimator) {
    RewardStep step = RewardStep.of(8, 9);
    double[] whole = perRow(estimator, step.outcomes());
    for (int cut = 0; cut <= step.groupCount(); cut++) {
      double[] left = perRow(estimator, step.groups(0, cut).outcomes());
      double[] right = perRow(estimator, step.groups(cut, 9).outcomes());
      assertThat(left).isEqualTo(Arrays.copyOf(whole, left.length));
      assertThat(right).isEqualTo(Arrays.copyOfRange(whole, left.length, whole.length));
    }
  }

  @Test
  void aStepInPartsIsWhitenedByMergedMoments() {
    RewardStep step = RewardStep.of(9, 9);
    for (AdvantageEstimator plain :
        List.of(
            ReinforcePlusPlus.standard().withoutWhitening(),
            ReinforcePlusPlusBaseline.standard().withoutWhitening(),
            Gae.of(1, 0.95))) {
      double[] whole = plain.withWhitening(Whitening.unbiased()).forward(step.tokens()).perRow();
      Advantages left = plain.forward(step.groups(0, 4).tokens());
      Advantages right = plain.forward(step.groups(4, 9).tokens());
      Moments all = left.moments().merge(right.moments());
      double[] white = left.whitened(Whitening.unbiased(), all).perRow();
      assertClose(white, Arrays.copyOf(whole, white.length));
    }
  }

  @Test
  void aStepInPartsIsScaledByGivenStatistics() {
    RewardStep step = RewardStep.of(10, 9);
    RewardStep left = step.groups(0, 4);
    double[] outcomes = step.rewards().outcomes();
    Moments moments = Moments.of(outcomes);
    OutcomeAdvantage batchStd = OutcomeAdvantage.of(GroupAdvantage.grpo());
    double[] part = perRow(batchStd.withBatchStd(moments), left.rewards());
    double[] whole = perRow(batchStd.withBatchStd(), step.rewards());
    assertThat(part).isEqualTo(Arrays.copyOf(whole, part.length));

    Gpg gpg = Gpg.standard().withCounts(outcomes.length, outcomes.length);
    assertThat(perRow(gpg, left.rewards()))
        .isEqualTo(Arrays.copyOf(perRow(Gpg.standard(), step.rewards()), part.length));

    Gdpo gdpo = Gdpo.of(1, 0.5);
    Whitening trl = Whitening.unbiased().withEpsilon(1e-4, EpsilonPlacement.OUTSIDE);
    Moments sums =
        Moments.of(gdpo.sums(left.outcomes()))
            .merge(Moments.of(gdpo.sums(step.groups(4, 9).outcomes())));
    assertClose(
        perRow(gdpo.withSequenceWhitening(trl, sums), left.outcomes()),
        Arrays.copyOf(perRow(gdpo, step.outcomes()), part.length));
  }

  @ParameterizedTest
  @MethodSource("grouped")
  void groupsMustBeThere(AdvantageEstimator estimator) {
    TokenLayout layout = TokenLayout.ofLengths(1, 1);
    RewardBatch lonely =
        RewardBatch.ofComponents(layout, new double[] {1, 2}, new double[] {1, 2})
            .withScoreNorms(new double[2], new double[2]);
    assertThatThrownBy(() -> estimator.forward(lonely))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("groups: are missing; RewardBatch.withGroups");
  }

  @ParameterizedTest
  @MethodSource("grouped")
  void groupsMustFitTheSequences(AdvantageEstimator estimator) {
    RewardBatch odd = RewardStep.of(11, 3).outcomes().withGroups(Groups.ofSize(1000));
    assertThatThrownBy(() -> estimator.forward(odd))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("do not divide into groups of 1000");
  }

  @Test
  void clippingBoundsTheAdvantages() {
    AdvantageEstimator clipped = OutcomeAdvantage.raw().withClip(-0.5, 1);
    RewardBatch batch = RewardBatch.of(TokenLayout.ofLengths(1, 2, 1), -3, 0.25, 4);

    assertThat(perRow(clipped, batch)).containsExactly(-0.5, 0.25, 0.25, 1);
    assertThatThrownBy(() -> OutcomeAdvantage.raw().withClip(1, -1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("clip: [1.0, -1.0] is empty");
  }

  @Test
  void scalingRewardsScalesWhatIsNotDivided() {
    RewardStep step = RewardStep.of(12, 6);
    RewardStep doubled = step.map(s -> s.withReward(4 * s.reward()));
    OutcomeAdvantage rloo = OutcomeAdvantage.of(GroupAdvantage.rloo());
    OutcomeAdvantage grpo =
        OutcomeAdvantage.of(GroupAdvantage.grpo().withEpsilon(0, EpsilonPlacement.OUTSIDE));
    double[] plain = perRow(rloo, step.rewards());
    double[] four = Arrays.stream(plain).map(a -> 4 * a).toArray();

    assertThat(perRow(rloo, doubled.rewards())).isEqualTo(four);
    assertClose(perRow(grpo, doubled.rewards()), perRow(grpo, step.rewards()));
  }

  @Test
  void aRawSingletonKeepsItsReward() {
    RewardBatch one =
        RewardBatch.of(TokenLayout.ofLengths(2), 0.75)
            .withGroups(Groups.ofSize(1))
            .withScoreNorms(new double[] {-1, -1}, new double[] {0.5, 0.5});
    for (AdvantageEstimator raw :
        List.of(
            OutcomeAdvantage.of(GroupAdvantage.opo().withSingleton(Singleton.RAW)),
            ReinforcePlusPlusBaseline.standard().withoutWhitening().withSingleton(Singleton.RAW),
            OptimalTokenBaseline.standard().withSingleton(Singleton.RAW))) {
      assertThat(perRow(raw, one)).containsExactly(0.75, 0.75);
    }
  }
}
