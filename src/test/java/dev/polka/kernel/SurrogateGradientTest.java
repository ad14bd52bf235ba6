package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.FiniteDifference;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceObjective.Kind;
import dev.polka.reference.ReferencePolicyLoss;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The gradient of every kind of objective on both sides of each of its bounds, against finite
 * differences of the definition, and at the bounds themselves.
 */
class SurrogateGradientTest {
  /** Log-ratios at which some kind has a bound: of ratios, in log space, of p - 1/2, of exp. */
  private static final double[] BOUNDS = {
    Math.log(0.8),
    Math.log(1.2),
    Math.log(1.5),
    Math.log(3),
    -0.2,
    0.2,
    Math.log(0.3 / 0.5),
    Math.log(0.7 / 0.5),
    0,
    -20,
    20
  };

  private static final double SIDE = 0.004;

  static Stream<ReferenceObjective> objectives() {
    Stream<ReferenceObjective> kinds =
        Stream.of(Kind.values())
            .map(PPO::withKind)
            .flatMap(
                o ->
                    Stream.of(
                        o,
                        o.withTrust(0.2, 1.2),
                        o.withSequenceRatio(true),
                        o.withSequenceRatio(false)));
    Stream<ReferenceObjective> clips =
        Stream.of(
            PPO.withDualClip(3),
            PPO.withRatioMax(1.5),
            PPO.withClip(0.2, 0.5),
            PPO.withSequenceRatio(true).withDualClip(3),
            PPO.withSequenceRatio(true).withRatioMax(1.5),
            PPO.withClip(Double.POSITIVE_INFINITY, 0.2).withKind(Kind.CISPO));
    return Stream.concat(kinds, clips);
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void theGradientIsTheDerivativeOnBothSidesOfEveryBound(ReferenceObjective objective) {
    ReferenceBatch batch = aroundTheBounds();
    double[] at = batch.logProb();

    double[] actual = PolicyLossCase.of(objective, batch).fromLogProbs().dLogProb;

    for (int row = 0; row < at.length; row++) {
      // Each token by itself: a difference rounds as the whole loss does.
      ReferenceBatch token = batch.sequences(row, row + 1);
      ReferenceBatch stopped = token.withStopped(token.logProb());
      double expected =
          FiniteDifference.gradient(
              x -> ReferencePolicyLoss.of(objective, stopped.withLogProb(x)).loss,
              token.logProb(),
              1e-4)[0];
      String what = "log-ratio " + (at[row] - batch.old()[row]) + ", A " + batch.advantages()[row];
      Accuracy.assertWithin(what, actual[row], expected, 2e-5 * Math.max(1, Math.abs(expected)));
    }
  }

  /** For each bound, side and sign of A a sequence of one token. */
  private static ReferenceBatch aroundTheBounds() {
    List<double[]> tokens = new ArrayList<>();
    for (double bound : BOUNDS) {
      double old = (float) (bound > 1 ? -25 : Math.log(0.5));
      for (double side : new double[] {-SIDE, SIDE}) {
        for (double advantage : new double[] {-1, 1}) {
          tokens.add(new double[] {(float) (old + bound + side), old, advantage});
        }
      }
    }
    int rows = tokens.size();
    long[] offsets = new long[rows + 1];
    Arrays.setAll(offsets, b -> b);
    return new ReferenceBatch(
        offsets,
        column(tokens, 0),
        PolicyBatches.ones(rows),
        column(tokens, 1),
        null,
        column(tokens, 2),
        null,
        null,
        1,
        null,
        1,
        null);
  }

  private static double[] column(List<double[]> tokens, int index) {
    return tokens.stream().mapToDouble(token -> token[index]).toArray();
  }

  /** With a range of 0 its bounds are at the ratio 1, which log-probs can hit. */
  @Test
  void atABoundTheGradientFlows() {
    for (Kind kind : new Kind[] {Kind.CLIP, Kind.CISPO, Kind.CISPO_MASKED, Kind.MASKED_IS}) {
      for (float advantage : new float[] {-1, 1}) {
        ReferenceObjective objective = PPO.withKind(kind).withClip(0, 0);
        assertThat(gradientAt(objective, 0, advantage)).as("%s", kind).isEqualTo(-advantage);
      }
    }
    ReferenceObjective gmpo = PPO.withKind(Kind.GMPO).withClip(0.25, 0.25);
    assertThat(gradientAt(gmpo, 0.25, 1)).isCloseTo(-Math.exp(0.25), offset());
    assertThat(gradientAt(gmpo, -0.25, -1)).isCloseTo(Math.exp(-0.25), offset());
    ReferenceObjective clamped = PPO.withoutClip().withMaxLogRatio(0.25);
    assertThat(gradientAt(clamped, 0.25, 1)).isCloseTo(-Math.exp(0.25), offset());
  }

  private static org.assertj.core.data.Offset<Double> offset() {
    return org.assertj.core.data.Offset.offset(1e-6);
  }

  private static double gradientAt(
      ReferenceObjective objective, double logRatio, double advantage) {
    ReferenceBatch batch =
        new ReferenceBatch(
            new long[] {0, 1},
            new double[] {-1},
            new double[] {1},
            new double[] {-1 - logRatio},
            null,
            new double[] {advantage},
            null,
            null,
            1,
            null,
            1,
            null);
    return PolicyLossCase.of(objective, batch).fromLogProbs().dLogProb[0];
  }

  @Test
  void everyKindOfTheContractIsTested() {
    assertThat(Kind.values()).hasSize(PolkaNative.POLKA_OBJECTIVE_REGRESSION + 1);
  }

  static Stream<Method> presets() {
    return Stream.of(PolicyLoss.class.getDeclaredMethods())
        .filter(m -> Modifier.isPublic(m.getModifiers()) && Modifier.isStatic(m.getModifiers()))
        .sorted(java.util.Comparator.comparing(Method::getName));
  }

  /** One sequence far off policy both ways, one of a masked NaN and a token, one without tokens. */
  @ParameterizedTest
  @MethodSource("presets")
  void everyPresetStandsExtremesMasksAndEmptySequences(Method preset)
      throws ReflectiveOperationException {
    PolicyLoss loss =
        (PolicyLoss)
            (preset.getParameterCount() == 0 ? preset.invoke(null) : preset.invoke(null, 0.1));
    float nan = Float.NaN;
    try (Floats logProb = Floats.copyOf(-0.5f, -100.5f, nan, -1);
        Floats old = Floats.copyOf(-100.5f, -0.5f, nan, -1);
        Floats advantages = Floats.copyOf(1, -1, nan);
        Longs offsets = Longs.copyOf(0, 2, 4, 4)) {
      TokenBatch batch =
          TokenBatch.ofOffsets(offsets)
              .withMask(dev.polka.memory.Bytes.copyOf(true, true, false, true))
              .withOld(old)
              .withSequenceAdvantages(advantages);
      try (LossResult result = loss.forwardBackward(logProb, null, batch, Normalizer.tokens(3))) {
        assertThat(result.loss()).isFinite();
        assertThat(result.metrics().nonFiniteRows()).isZero();
        float[] gradient = result.logProbGradient().toArray();
        assertThat(gradient[2]).isZero();
        for (float g : gradient) {
          assertThat(g).isFinite();
        }
      }
    }
  }

  @Test
  void thereIsAPresetForEveryName() {
    assertThat(presets().map(Method::getName))
        .contains(
            "ppo",
            "grpo",
            "dapo",
            "drGrpo",
            "gspo",
            "luspo",
            "gmpo",
            "cispo",
            "sapo",
            "vespo",
            "dppoTv",
            "dppoKl",
            "ipo",
            "maskedImportance",
            "reinforce",
            "importanceSampling",
            "tis",
            "topr",
            "dro",
            "sppo",
            "clipCov",
            "klCov");
  }
}
