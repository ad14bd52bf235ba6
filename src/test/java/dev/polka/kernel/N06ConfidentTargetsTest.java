package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;

import dev.polka.reference.Accuracy;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * N6: for a target with probability close to 1, the log-prob and {@code 1 - p} keep their relative
 * accuracy: both come from the sum of the other columns.
 */
class N06ConfidentTargetsTest {
  static Stream<Arguments> confidences() {
    return Stream.of(1e-4, 1e-5, 1e-6, 1e-7)
        .flatMap(
            rest ->
                Stream.of(2, 33, 4097, 50257)
                    .flatMap(v -> Stream.of(0, v / 2, v - 1).map(t -> Arguments.of(rest, v, t))));
  }

  /**
   * A logit that is {@code d} below the largest has its exponent rounded to half an ulp, which exp
   * turns into a relative error of {@code d eps / 2}.
   */
  private static double relativeBound(double rest, int vocabulary, double temperature) {
    double lead = Math.log(vocabulary / rest) / temperature;
    return (4 + lead / 2) * Accuracy.EPS;
  }

  /** The target leads so far that the others share {@code rest} of the mass. */
  private static Logits confident(Storage storage, double rest, int vocabulary, int target) {
    Logits logits = Logits.normal(Storage.F32, 1, vocabulary, 1, 0, 17);
    double mass = 0;
    for (int j = 0; j < vocabulary; j++) {
      mass += j == target ? 0 : Math.exp(logits.get(0, j));
    }
    float lead = (float) (Math.log(mass) - Math.log(rest));
    return Logits.of(storage, 1, vocabulary, logits.with(0, target, lead).values());
  }

  @ParameterizedTest
  @MethodSource("confidences")
  void theLogProbKeepsItsDigits(double rest, int vocabulary, int target) {
    for (float temperature : new float[] {1, 0.7f}) {
      LogProbCase c = of(Storage.F32, rest, vocabulary, target, temperature);
      double expected = c.reference(0).logProbability(target);
      double actual = c.forward().logProb()[0];
      Accuracy.assertWithin(
          "log-prob",
          actual,
          expected,
          relativeBound(rest, vocabulary, temperature) * Math.abs(expected));
    }
  }

  private static LogProbCase of(
      Storage storage, double rest, int vocabulary, int target, float temperature) {
    ReferenceSoftmax softmax = ReferenceSoftmax.at(temperature);
    return LogProbCase.of(confident(storage, rest, vocabulary, target), softmax, target);
  }

  @ParameterizedTest
  @MethodSource("confidences")
  void theTargetsGradientKeepsItsDigits(double rest, int vocabulary, int target) {
    for (Storage storage : new Storage[] {Storage.F32, Storage.BF16}) {
      for (float upstream : new float[] {1, -0.37f, 1000}) {
        LogProbCase c = of(storage, rest, vocabulary, target, 1);
        double expected = c.reference(0).gradient(upstream, 0, 0)[target];
        double actual = c.backward(new float[] {upstream}, null, null)[target];
        double bound =
            relativeBound(rest, vocabulary, 1) * Math.abs(expected) + storage.halfUlp(expected);
        Accuracy.assertWithin(storage + " gradient", actual, expected, bound);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("confidences")
  void thePolicyLossGradientKeepsItsDigitsToo(double rest, int vocabulary, int target) {
    for (Storage storage : new Storage[] {Storage.F32, Storage.BF16}) {
      Logits logits = confident(storage, rest, vocabulary, target);
      ReferenceDistribution row = ReferenceDistribution.of(logits.row(0), PLAIN, target);
      ReferenceBatch batch =
          new ReferenceBatch(
              new long[] {0, 1},
              new double[] {row.logProbability(target)},
              null,
              null,
              null,
              new double[] {2},
              null,
              null,
              1,
              null,
              1,
              null);
      PolicyLossCase.Fused out =
          PolicyLossCase.of(ReferenceObjective.PPO, batch)
              .fromLogits(logits, new long[] {target}, 1);
      double expected = row.gradient(-2, 0, 0)[target];
      double bound =
          relativeBound(rest, vocabulary, 1) * Math.abs(expected) + storage.halfUlp(expected);
      Accuracy.assertWithin(storage + " gradient", out.gradient()[target], expected, bound);
    }
  }

  @ParameterizedTest
  @MethodSource("confidences")
  void theOtherColumnsMeetTheBar(double rest, int vocabulary, int target) {
    LogProbCase c = of(Storage.F32, rest, vocabulary, target, 1);
    c.assertForward();
    c.assertBackward();
  }

  /** A gradient of the confident row sums to 0: what the target gains the others lose. */
  @ParameterizedTest
  @MethodSource("confidences")
  void theRowsGradientSumsToZero(double rest, int vocabulary, int target) {
    LogProbCase c = of(Storage.F32, rest, vocabulary, target, 1);
    float[] gradient = c.backward(new float[] {1}, null, null);
    double sum = Arrays.stream(Storage.widen(gradient)).sum();
    Accuracy.assertWithin("sum", sum, 0, relativeBound(rest, vocabulary, 1) * rest);
  }
}
