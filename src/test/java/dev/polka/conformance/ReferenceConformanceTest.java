package dev.polka.conformance;

import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferencePolicyLoss;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/**
 * The f64 references are themselves held to the peers' numbers, to f64 rounding and verl's 1e-8 in
 * its counts.
 */
class ReferenceConformanceTest {
  private static final double BAR = 1e-9;
  private final List<GoldenCase> cases = GoldenVectors.read(GoldenVectors.copy());

  private Stream<GoldenCase> of(String file) {
    return cases.stream().filter(c -> c.file().equals(file));
  }

  @TestFactory
  Stream<DynamicTest> theAdvantageReferenceGivesThePeersNumbers() {
    return of("advantages.json")
        .map(c -> dynamicTest(c.name(), () -> checkAdvantages(AdvantageVector.of(c))));
  }

  private static void checkAdvantages(AdvantageVector vector) {
    double bar = vector.computedInF64() ? BAR : Tolerance.F32;
    vector.check("token_advantage", bar, vector.reference());
  }

  @TestFactory
  Stream<DynamicTest> theTokenKlReferenceGivesThePeersNumbers() {
    return of("token_kl.json")
        .map(c -> dynamicTest(c.name(), () -> checkTokenKl(TokenKlVector.of(c))));
  }

  private static void checkTokenKl(TokenKlVector vector) {
    ReferenceTokenKl.Term[] terms =
        IntStream.range(0, vector.logProb().length)
            .mapToObj(
                t -> vector.options().at(vector.logProb()[t], vector.refLogProb()[t], Double.NaN))
            .toArray(ReferenceTokenKl.Term[]::new);
    vector.check(
        BAR,
        Arrays.stream(terms).mapToDouble(ReferenceTokenKl.Term::value).toArray(),
        Arrays.stream(terms).mapToDouble(ReferenceTokenKl.Term::derivative).toArray());
  }

  @TestFactory
  Stream<DynamicTest> theLogProbReferenceGivesThePeersNumbers() {
    return of("logits.json")
        .filter(c -> c.operation().equals("log_prob_and_entropy"))
        .map(c -> dynamicTest(c.name(), () -> checkLogProb(LogProbVector.of(c))));
  }

  private static void checkLogProb(LogProbVector v) {
    ReferenceSoftmax softmax = ReferenceSoftmax.exactlyAt(v.temperature());
    int rows = v.targets().length;
    ReferenceDistribution[] d =
        IntStream.range(0, rows)
            .mapToObj(r -> ReferenceDistribution.of(v.logits()[r], softmax, (int) v.targets()[r]))
            .toArray(ReferenceDistribution[]::new);
    v.checkValues("log_prob", BAR, perRow(rows, r -> d[r].logProbability((int) v.targets()[r])));
    v.checkValues("entropy", BAR, perRow(rows, r -> d[r].entropy()));
    v.checkValues("log_sum_exp", BAR, perRow(rows, r -> d[r].lse()));
    double[][] ofLogProb =
        IntStream.range(0, rows)
            .mapToObj(r -> d[r].gradient(v.dLogProb()[r], 0, 0))
            .toArray(double[][]::new);
    v.checkGradient("d_logits_from_log_prob", BAR, v.dLogProb(), ofLogProb);
    double[][] ofEntropy =
        IntStream.range(0, rows)
            .mapToObj(r -> d[r].gradient(0, v.dEntropy()[r], 0))
            .toArray(double[][]::new);
    v.checkGradient("d_logits_from_entropy", BAR, v.dEntropy(), ofEntropy);
  }

  private static double[] perRow(int rows, java.util.function.IntToDoubleFunction value) {
    return IntStream.range(0, rows).mapToDouble(value).toArray();
  }

  @TestFactory
  Stream<DynamicTest> theDivergenceReferenceGivesThePeersNumbers() {
    return of("logits.json")
        .filter(c -> c.operation().equals("divergence"))
        .map(c -> dynamicTest(c.name(), () -> checkDivergence(DivergenceVector.of(c))));
  }

  private static void checkDivergence(DivergenceVector v) {
    ReferenceSoftmax softmax = ReferenceSoftmax.exactlyAt(v.temperature());
    double[] values = new double[v.student().length];
    double[][] gradient = new double[v.student().length][];
    for (int r = 0; r < values.length; r++) {
      ReferenceDistribution student = ReferenceDistribution.of(v.student()[r], softmax, -1);
      ReferenceDistribution teacher = ReferenceDistribution.of(v.teacher()[r], softmax, -1);
      values[r] = v.divergence().value(student, teacher);
      double upstream = v.upstream()[r];
      gradient[r] =
          Arrays.stream(v.divergence().gradient(student, teacher)).map(g -> upstream * g).toArray();
    }
    v.check(BAR, values, gradient);
  }

  @TestFactory
  Stream<DynamicTest> thePolicyLossReferenceGivesThePeersNumbers() {
    return of("policy_losses.json")
        .filter(c -> PolicyLossVector.pending(c).isEmpty())
        .map(c -> dynamicTest(c.name(), () -> checkPolicyLoss(PolicyLossVector.of(c))));
  }

  private static void checkPolicyLoss(PolicyLossVector vector) {
    Result[] perSequence =
        IntStream.range(0, vector.batch().offsets().length - 1)
            .mapToObj(
                b -> ReferencePolicyLoss.of(vector.objective(), vector.batch().sequences(b, b + 1)))
            .toArray(Result[]::new);
    new PolicyLossCheck(vector, BAR)
        .check(ReferencePolicyLoss.of(vector.objective(), vector.batch()), perSequence);
  }
}
