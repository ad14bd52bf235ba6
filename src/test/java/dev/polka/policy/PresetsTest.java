package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.Groups;
import dev.polka.kernel.TokenLayout;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class PresetsTest {
  private static final double[] REWARDS = {1, 0, 0, 0.5};

  static List<Preset> presets() {
    return Presets.all();
  }

  private static TokenLayout layout() {
    return TokenLayout.ofOffsets(0, 2, 3, 5, 6);
  }

  private static double[] advantages(Preset preset, double[] rewards, Groups groups) {
    double[] perRow =
        preset.advantages().forward(RewardBatch.of(layout(), rewards).withGroups(groups)).perRow();
    return new double[] {perRow[0], perRow[2], perRow[3], perRow[5]};
  }

  @Test
  void allNamesEveryPresetOnce() {
    long factories =
        Arrays.stream(Presets.class.getMethods())
            .filter(m -> Modifier.isStatic(m.getModifiers()) && m.getReturnType() == Preset.class)
            .count();
    assertThat(Presets.all()).hasSize((int) factories);
    assertThat(Presets.all().stream().map(Preset::name)).doesNotHaveDuplicates();
  }

  @ParameterizedTest
  @MethodSource("presets")
  void advantagesRankAnswersAsTheirRewardsDo(Preset preset) {
    double[] a = advantages(preset, REWARDS, Groups.ofSize(4));
    assertThat(a[0]).isGreaterThan(a[3]);
    assertThat(a[3]).isGreaterThan(a[1]);
    assertThat(a[1]).isEqualTo(a[2]);
  }

  @ParameterizedTest
  @MethodSource("presets")
  void aGroupWithoutVarianceTeachesNothing(Preset preset) {
    assertThat(advantages(preset, new double[] {0.7, 0.7, 0.7, 0.7}, Groups.ofSize(4)))
        .containsOnly(0);
  }

  @Test
  void epsilonsAndStandardDeviationsAreThePeers() {
    double mean = 0.375;
    double unbiased = Math.sqrt((0.625 * 0.625 + 2 * mean * mean + 0.125 * 0.125) / 3);
    assertThat(advantages(Presets.verl(), REWARDS, Groups.ofSize(4))[0])
        .isCloseTo(0.625 / (unbiased + 1e-6), within(1e-12));
    assertThat(advantages(Presets.trl(), REWARDS, Groups.ofSize(4))[0])
        .isCloseTo(0.625 / (unbiased + 1e-4), within(1e-12));
    assertThat(advantages(Presets.openRlhf(), REWARDS, Groups.ofSize(4))[0])
        .isCloseTo(0.625 / (unbiased + 1e-9), within(1e-12));
    assertThat(advantages(Presets.areal(), REWARDS, Groups.ofSize(4))[0])
        .isCloseTo(0.625 / (unbiased + 1e-5), within(1e-12));
    assertThat(advantages(Presets.tinker(), REWARDS, Groups.ofSize(4))[0]).isEqualTo(0.625);
    double othersMean = 0.5 / 3;
    double othersStd = Math.sqrt((2 * othersMean * othersMean + Math.pow(0.5 - othersMean, 2)) / 2);
    assertThat(advantages(Presets.nemoRl(), REWARDS, Groups.ofSize(4))[0])
        .isCloseTo((1 - othersMean) / (othersStd + 1e-6), within(1e-12));
  }

  @Test
  void aSingletonKeepsItsRewardWhereThePeersDo() {
    for (Preset preset : Presets.all()) {
      double a = advantages(preset, REWARDS, Groups.ofSize(1))[0];
      double expected = List.of("verl", "SkyRL").contains(preset.name()) ? 1 / (1 + 1e-6) : 0;
      assertThat(a).as(preset.name()).isCloseTo(expected, within(1e-12));
    }
  }

  @Test
  void onlyTrlDropsASequenceThatTheSamplerFoundUnlikely() {
    double[] old = {0, 0, 0, -0.5, -0.5, 0};
    double[] rollout = {-1, -1, 0, -0.5, -0.5, 0};
    Correction trl = Presets.trl().correction().apply(layout(), old, rollout);
    assertThat(trl.weights()).containsExactly(0, 0, 1, 1, 1, 1);
    Correction verl = Presets.verl().correction().apply(layout(), old, rollout);
    assertThat(verl.weights()).containsOnly(1);
    assertThat(Presets.tinker().correction().apply(layout(), old, rollout).old())
        .containsExactly(-1, -1, 0, -0.5f, -0.5f, 0);
  }

  @Test
  void lossesAndAggregationsAreThePeers() {
    assertThat(
            Stream.of(Presets.verl(), Presets.slime(), Presets.tinker())
                .map(p -> p.aggregation().toString()))
        .containsExactly("token-mean", "seq-mean-token-mean", "token-sum");
    assertThat(Presets.verl().loss().toString()).contains("dual");
    assertThat(Presets.trl().loss().toString()).doesNotContain("dual");
    assertThat(Presets.areal().rewardKl().coefficient()).isEqualTo(0.1);
  }

  @Test
  void theRemainingEpsilonsAreThePeers() {
    double unbiased = Math.sqrt((0.625 * 0.625 + 2 * 0.375 * 0.375 + 0.125 * 0.125) / 3);
    for (Preset preset : List.of(Presets.slime(), Presets.roll(), Presets.skyRl())) {
      assertThat(advantages(preset, REWARDS, Groups.ofSize(4))[0])
          .as(preset.name())
          .isCloseTo(0.625 / (unbiased + 1e-6), within(1e-12));
    }
  }

  @Test
  void theKlOfTokensComesAfterTheGroup() {
    double[] kl = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6};
    RewardBatch same = RewardBatch.of(layout(), 1, 1, 1, 1).withGroups(Groups.ofSize(4));
    assertThat(Presets.openRlhf().advantages(same, kl).perRow())
        .containsExactly(
            new double[] {-0.003, -0.002, -0.003, -0.009, -0.005, -0.006}, within(1e-15));
    assertThat(Presets.areal().advantages(same, kl).perRow()[0]).isCloseTo(-0.03, within(1e-15));
    assertThat(Presets.verl().advantages(same).perRow()).containsOnly(0);
  }

  @Test
  void whatIsMaskedPaysForNoKl() {
    TokenLayout layout = layout().withMask(true, false, true, true, true, true);
    double[] kl = {0.1, Double.NaN, 0.3, 0.4, 0.5, 0.6};
    RewardBatch same = RewardBatch.of(layout, 1, 1, 1, 1).withGroups(Groups.ofSize(4));
    double[] perRow = Presets.openRlhf().advantages(same, kl).perRow();
    assertThat(perRow[0]).isCloseTo(-0.001, within(1e-15));
    assertThat(perRow[1]).isZero();
  }

  @Test
  void weightsAreBoundedWhereThePeersBoundThem() {
    double[] old = {1, 0, 0, 0, 0, 0};
    double[] below = {1 - Math.log(2.9), 0, 0, 0, 0, 0};
    double[] above = {1 - Math.log(3.1), 0, 0, 0, 0, 0};
    double[] far = {1 - Math.log(5.1), 0, 0, 0, 0, 0};
    OffPolicyCorrection trl = Presets.trl().correction();
    assertThat(trl.apply(layout(), old, below).weights()[0]).isCloseTo(2.9f, within(1e-5f));
    assertThat(trl.apply(layout(), old, above).weights()[0]).isZero();
    OffPolicyCorrection areal = Presets.areal().correction();
    assertThat(areal.apply(layout(), old, above).weights()[0]).isCloseTo(3.1f, within(1e-5f));
    assertThat(areal.apply(layout(), old, far).weights()[0]).isZero();
  }

  @Test
  void nemosKlHasTheValueOfK3AndTheGradientOfK2() {
    assertThat(Presets.nemoRl().loss().toString())
        .contains("KL 0.01 K3")
        .doesNotContain("IMPORTANCE");
  }
}
