package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.Accuracy;
import dev.polka.reference.FiniteDifference;
import dev.polka.reference.Noise;
import dev.polka.reference.Storage;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class PreferenceLossTest {
  private static final double[] SCORES = {-3, -5, -4, -1, -2, -2.5};
  private static final double[] REFERENCE = {-4, -4.5, -3, -3, -2.5, -2};
  private static final Doubles REF = Doubles.copyOf(REFERENCE);
  private static final Doubles TARGETS = Doubles.copyOf(-1, -3, -2, -4, 0, 1);
  private static final Bytes LABELS = Bytes.copyOf(true, false, false, true, true, false);
  private static final Groups RAGGED = Groups.ofOffsets(Longs.copyOf(0, 4, 4, 6));

  private static double sigmoid(double x) {
    return 1 / (1 + Math.exp(-x));
  }

  private static double relative(double[] scores, int i) {
    return scores[i] - REFERENCE[i];
  }

  /** The mean over the three pairs of a function of both log-ratios. */
  private static double overPairs(
      double[] scores, java.util.function.DoubleBinaryOperator loss, double[] reference) {
    double sum = 0;
    for (int pair = 0; pair < 3; pair++) {
      int i = 2 * pair;
      sum += loss.applyAsDouble(scores[i] - reference[i], scores[i + 1] - reference[i + 1]) / 3;
    }
    return sum;
  }

  private static double labelled(double[] scores) {
    double loss = 0;
    for (int i = 0; i < 6; i++) {
      double k = 0.5 * (relative(scores, i) - 0.25);
      loss += (LABELS.get(i) != 0 ? 1.5 * (1 - sigmoid(k)) : 0.75 * (1 - sigmoid(-k))) / 3;
    }
    return loss;
  }

  private static double posterior(double[] scores) {
    double loss = 0;
    for (int[] group : new int[][] {{0, 4}, {4, 6}}) {
      double a = 0;
      double b = 0;
      for (int i = group[0]; i < group[1]; i++) {
        a += Math.exp(TARGETS.get(i) - REFERENCE[i]);
        b += Math.exp(relative(scores, i));
      }
      for (int i = group[0]; i < group[1]; i++) {
        double p = Math.exp(TARGETS.get(i) - REFERENCE[i]) / a;
        loss += p * Math.log(p / (Math.exp(relative(scores, i)) / b)) / 3;
      }
    }
    return loss;
  }

  private static double ranking(double[] scores) {
    double loss = 0;
    for (int[] group : new int[][] {{0, 4}, {4, 6}}) {
      int n = group[1] - group[0];
      for (int i = group[0]; i < group[1]; i++) {
        for (int j = i + 1; j < group[1]; j++) {
          loss -= Math.log(sigmoid(0.1 * (scores[i] - 0.5 * scores[j]))) / (n * (n - 1) / 2) / 3;
        }
      }
    }
    return loss;
  }

  /** Each loss, how it takes scores, and its formula: sums over three. */
  static Stream<Arguments> losses() {
    double[] none = new double[6];
    Function<Doubles, Preferences> plain = Preferences::pairs;
    Function<Doubles, Preferences> relative = s -> Preferences.pairs(s).withReference(REF);
    Function<Doubles, Preferences> labels =
        s -> Preferences.labelled(s, LABELS).withReference(REF).withReferencePoint(0.25);
    Function<Doubles, Preferences> samples =
        s -> Preferences.sampled(s, RAGGED, TARGETS).withReference(REF);
    Function<Doubles, Preferences> ranked = s -> Preferences.ranked(s, RAGGED);
    PreferenceLoss dpo = PreferenceLoss.dpo(0.5);
    return Stream.of(
        of(
            PreferenceLoss.bradleyTerry(),
            plain,
            s -> overPairs(s, (c, r) -> -Math.log(sigmoid(c - r)), none)),
        of(dpo, relative, s -> overPairs(s, (c, r) -> -Math.log(sigmoid((c - r) / 2)), REFERENCE)),
        of(
            dpo.withLabelSmoothing(0.1),
            relative,
            s ->
                overPairs(
                    s,
                    (c, r) ->
                        -0.9 * Math.log(sigmoid((c - r) / 2))
                            - 0.1 * Math.log(sigmoid((r - c) / 2)),
                    REFERENCE)),
        of(
            dpo.withShape(PreferenceLoss.Shape.HINGE),
            relative,
            s -> overPairs(s, (c, r) -> Math.max(0, 1 - (c - r) / 2), REFERENCE)),
        of(
            dpo.withShape(PreferenceLoss.Shape.IPO),
            relative,
            s -> overPairs(s, (c, r) -> Math.pow(c - r - 1 / (2 * 0.5), 2), REFERENCE)),
        of(
            PreferenceLoss.simpo(2, 1),
            plain,
            s -> overPairs(s, (c, r) -> -Math.log(sigmoid(2 * (c - r) - 1)), none)),
        of(
            PreferenceLoss.cpl(0.1, 0.5),
            relative,
            s -> overPairs(s, (c, r) -> -Math.log(sigmoid(0.1 * (c - 0.5 * r))), REFERENCE)),
        of(PreferenceLoss.cpl(0.1, 0.5), ranked, PreferenceLossTest::ranking),
        of(
            PreferenceLoss.kto(0.5).withLabelWeights(1.5, 0.75),
            labels,
            PreferenceLossTest::labelled),
        of(PreferenceLoss.brain(), samples, PreferenceLossTest::posterior));
  }

  private static Arguments of(
      PreferenceLoss loss,
      Function<Doubles, Preferences> preferences,
      ToDoubleFunction<double[]> formula) {
    return Arguments.of(loss, preferences, formula);
  }

  @ParameterizedTest
  @MethodSource("losses")
  void lossAndGradientAreThoseOfTheFormula(
      PreferenceLoss loss,
      Function<Doubles, Preferences> preferences,
      ToDoubleFunction<double[]> formula) {
    try (Doubles scores = Doubles.copyOf(SCORES);
        PreferenceLossResult result =
            loss.forwardBackward(preferences.apply(scores), Normalizer.constant(3));
        PreferenceLossResult value =
            loss.forward(preferences.apply(scores), Normalizer.constant(3))) {
      Accuracy.assertWithin("loss", result.loss(), formula.applyAsDouble(SCORES), 1e-13);
      assertThat(value.loss()).isEqualTo(result.loss());
      double[] expected = FiniteDifference.gradient(formula, SCORES, 1e-3);
      double[] actual = result.gradient().toArray();
      for (int i = 0; i < expected.length; i++) {
        Accuracy.assertWithin("response " + i, actual[i], expected[i], 1e-9);
      }
      assertThatThrownBy(value::gradient).isInstanceOf(IllegalStateException.class);
    }
  }

  @Test
  void metricsSayHowFarTheBetterResponseIsAhead() {
    try (Doubles scores = Doubles.copyOf(SCORES);
        PreferenceLossResult result =
            PreferenceLoss.dpo(0.5)
                .forward(Preferences.pairs(scores).withReference(REF), Normalizer.constant(3))) {
      PreferenceLossMetrics metrics = result.metrics();

      assertThat(metrics.pairs()).isEqualTo(3);
      assertThat(metrics.accuracy()).isEqualTo(2 / 3.0);
      assertThat(metrics.chosen()).isEqualTo((0.5 - 0.5 + 0.25) / 3);
      assertThat(metrics.rejected()).isEqualTo((-0.25 + 1 - 0.25) / 3);
      assertThat(metrics.margin()).isEqualTo(-0.25 / 3);
      assertThat(metrics.plus(metrics).pairs()).isEqualTo(6);
      assertThat(metrics.plus(metrics).accuracy()).isEqualTo(metrics.accuracy());
      assertThat(result.losses().toArray()).hasSize(3);
    }
  }

  /** DPO on logits: sums of log-probs, the loss on them, and its gradient back through the rows. */
  @Test
  void onLogitsTheGradientIsAFiniteDifference() {
    TokenLayout layout = TokenLayout.ofLengths(2, 3);
    Targets targets = Targets.of(Longs.copyOf(1, 0, 2, 2, 1));
    double[] logits = Storage.widen(Noise.of(8).normals(5 * 3, 1));
    PreferenceLoss dpo = PreferenceLoss.dpo(0.5);
    try (Matrix matrix = Matrix.copyOf(DType.F32, 5, 3, Storage.toF32(logits));
        LogProbs logProbs = LogProb.plain().forward(matrix, targets);
        Doubles scores = Doubles.copyOf(scores(layout, logProbs));
        PreferenceLossResult result =
            dpo.forwardBackward(Preferences.pairs(scores), Normalizer.constant(1));
        Floats upstream = Floats.copyOf(Storage.toF32(layout.spread(result.gradient().toArray())));
        Matrix gradient =
            LogProb.plain().backward(matrix, targets, logProbs, LogProbGradients.of(upstream))) {
      double[] expected =
          FiniteDifference.gradient(z -> dpoOnLogits(layout, targets, z), logits, 0x1p-5);
      float[] actual = gradient.toArray();
      for (int i = 0; i < expected.length; i++) {
        Accuracy.assertWithin("logit " + i, actual[i], expected[i], 3e-5);
      }
    }
  }

  private static double dpoOnLogits(TokenLayout layout, Targets targets, double[] logits) {
    try (Matrix matrix = Matrix.copyOf(DType.F32, 5, 3, Storage.toF32(logits));
        LogProbs logProbs = LogProb.plain().forward(matrix, targets);
        Doubles scores = Doubles.copyOf(scores(layout, logProbs));
        PreferenceLossResult result =
            PreferenceLoss.dpo(0.5).forward(Preferences.pairs(scores), Normalizer.constant(1))) {
      return result.loss();
    }
  }

  private static double[] scores(TokenLayout layout, LogProbs logProbs) {
    return layout.sums(Storage.widen(logProbs.logProb().toArray()));
  }

  @Test
  void weightsAreOfGroups() {
    try (Doubles scores = Doubles.copyOf(SCORES);
        Doubles weights = Doubles.copyOf(0, 0, 2);
        PreferenceLossResult result =
            PreferenceLoss.bradleyTerry()
                .forwardBackward(
                    Preferences.pairs(scores).withWeights(weights), Normalizer.none())) {
      assertThat(result.loss()).isEqualTo(2 * result.losses().get(2));
      assertThat(result.gradient().toArray()).startsWith(0, 0, 0, 0);
    }
  }

  @Test
  void aMarginIsSubtracted() {
    try (Doubles scores = Doubles.copyOf(SCORES);
        PreferenceLossResult result =
            PreferenceLoss.bradleyTerry()
                .withMargin(2)
                .forward(Preferences.pairs(scores), Normalizer.none())) {
      assertThat(result.losses().get(0)).isEqualTo(Math.log(2));
    }
  }

  @Test
  void aNanShowsInItsOwnPair() {
    try (Doubles scores = Doubles.copyOf(1, Double.NaN, 1, 0);
        PreferenceLossResult result =
            PreferenceLoss.bradleyTerry()
                .forwardBackward(Preferences.pairs(scores), Normalizer.none())) {
      assertThat(result.loss()).isNaN();
      assertThat(result.gradient().get(2)).isFinite();
      assertThat(result.metrics().nonFiniteGroups()).isEqualTo(1);
      assertThat(result.metrics().firstNonFiniteGroup()).isZero();
    }
  }

  @Test
  void whatDoesNotFitIsNamed() {
    PreferenceLoss dpo = PreferenceLoss.dpo(0.1);
    try (Doubles scores = Doubles.copyOf(1, 2, 3)) {
      assertThatThrownBy(() -> dpo.forward(Preferences.pairs(scores), Normalizer.none()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("groups: 3 rewards do not divide into groups of 2");
      assertThatThrownBy(
              () -> PreferenceLoss.kto(1).forward(Preferences.pairs(scores), Normalizer.none()))
          .hasMessage("preferences: are RANKED, but KTO, beta 1.0 takes LABELLED");
      assertThatThrownBy(
              () ->
                  dpo.forward(
                      Preferences.ranked(scores, Groups.ofSize(3)),
                      Normalizer.sequences(1, Longs.copyOf(1))))
          .hasMessage("normalizer: has token counts, but there are no tokens");
    }
    assertThatThrownBy(() -> PreferenceLoss.dpo(0)).hasMessage("beta: 0.0 is not finite and > 0");
    assertThatThrownBy(() -> PreferenceLoss.cpl(0.1, 0)).hasMessage("bias: 0.0 is not in (0, 1]");
    assertThatThrownBy(() -> dpo.withLabelSmoothing(0.1).withShape(PreferenceLoss.Shape.HINGE))
        .hasMessage("labelSmoothing: 0.1 belongs to the shape SIGMOID");
    assertThatThrownBy(() -> PreferenceLoss.brain().withMargin(1))
        .hasMessage("margin: belongs to losses of pairs, not to BRAIn, beta 1.0");
  }
}
