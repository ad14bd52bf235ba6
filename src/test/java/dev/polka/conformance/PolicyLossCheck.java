package dev.polka.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferencePolicyLoss.Result;
import java.util.Iterator;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/** Compares what an implementation made of a policy-loss vector with what the peer computed. */
final class PolicyLossCheck {
  private static final Map<String, ToDoubleFunction<Result>> METRICS =
      Map.of(
          "actor/pg_clipfrac", r -> perToken(r, r.clipped),
          "actor/pg_clipfrac_lower", r -> perToken(r, r.dualClipped),
          "actor/ppo_kl", r -> perToken(r, r.approxKl),
          "policy_loss", r -> r.policyLoss,
          "kl", r -> perToken(r, r.kl),
          "entropy", r -> perToken(r, r.entropy));

  private final PolicyLossVector vector;
  private final double bar;

  PolicyLossCheck(PolicyLossVector vector, double bar) {
    this.vector = vector;
    this.bar = bar;
  }

  /** The largest |input| that enters the term of a row: its own, or its whole sequence's. */
  double scale(int row) {
    if (!vector.objective().sequenceRatio()) {
      return largest(row, row + 1);
    }
    int first = row / vector.width() * vector.width();
    return largest(first, first + vector.width());
  }

  /** The same for a sum over all tokens. */
  private double scale() {
    return largest(0, vector.batch().mask().length);
  }

  private double largest(int from, int to) {
    ReferenceBatch b = vector.batch();
    double largest = 0;
    for (double[] values :
        new double[][] {b.logProb(), b.old(), b.ref(), b.advantages(), b.weights(), b.entropy()}) {
      for (int t = from; values != null && t < to; t++) {
        largest = b.mask()[t] ? Math.max(largest, Math.abs(values[t])) : largest;
      }
    }
    return largest;
  }

  /**
   * Loss, metrics and both derivatives; {@code perSequence[b]} is the result of sequence b alone.
   */
  void check(Result actual, Result[] perSequence) {
    checkLoss(actual);
    checkRows("d_log_prob", actual.dLogProb);
    if (vector.golden().expected().hasNonNull("d_entropy")) {
      checkRows("d_entropy", actual.dEntropy);
    }
    checkMetrics(actual, perSequence);
  }

  void checkLoss(Result actual) {
    close("loss", actual.loss, vector.golden().expected().get("loss").asDouble());
  }

  double[] expectedRows(String field) {
    return GoldenCase.flat(GoldenCase.rows(vector.golden().expected().get(field)));
  }

  private void checkRows(String field, double[] actual) {
    double[] expected = expectedRows(field);
    for (int t = 0; t < expected.length; t++) {
      Tolerance.assertGradient(field + " of row " + t, bar, actual[t], expected[t], scale(t));
    }
  }

  void checkMetrics(Result actual, Result[] perSequence) {
    Iterator<Map.Entry<String, JsonNode>> metrics =
        vector.golden().expected().get("metrics").fields();
    while (metrics.hasNext()) {
      Map.Entry<String, JsonNode> metric = metrics.next();
      close(
          metric.getKey(),
          metric(metric.getKey(), actual, perSequence),
          metric.getValue().asDouble());
    }
  }

  private double metric(String name, Result all, Result[] perSequence) {
    String operation = vector.golden().operation();
    if (operation.endsWith("_geo_mean")) {
      return geometricMeanMetric(name, all);
    }
    if (operation.endsWith("_kl_cov") && name.equals("actor/ppo_kl")) {
      return perToken(all, all.absLogRatio);
    }
    if (METRICS.containsKey(name)) {
      return METRICS.get(name).applyAsDouble(all);
    }
    return switch (name) {
      case "cispo_clip_ratio" -> perToken(all, all.clipHigh);
      case "vespo/phi_seq_mean" -> perSequence(all, all.sequenceWeight);
      case "entropy_coef" -> vector.objective().entropyCoefficient();
      case "clip_ratio/low_mean" -> lowFraction(all);
      case "clip_ratio/high_mean" -> highFraction(all);
      case "clip_ratio/region_mean" -> lowFraction(all) + highFraction(all);
      case "clip_ratio/low_min" ->
          java.util.Arrays.stream(perSequence).mapToDouble(this::lowFraction).min().orElse(0);
      case "clip_ratio/high_max" ->
          java.util.Arrays.stream(perSequence).mapToDouble(this::highFraction).max().orElse(0);
      default -> throw new AssertionError("metric " + name + " is not known");
    };
  }

  /** verl's fractions for GMPO count tokens out of range by the sign of A, whichever side. */
  private static double geometricMeanMetric(String name, Result r) {
    return switch (name) {
      case "actor/pg_clipfrac" -> perToken(r, r.clipHigh + r.below - r.clipLow);
      case "actor/pg_clipfrac_lower" -> perToken(r, r.clipLow + r.above - r.clipHigh);
      default -> METRICS.get(name).applyAsDouble(r);
    };
  }

  private double lowFraction(Result r) {
    return vector.objective().sequenceRatio()
        ? perSequence(r, r.clipLowSequences)
        : perToken(r, r.clipLow);
  }

  private double highFraction(Result r) {
    return vector.objective().sequenceRatio()
        ? perSequence(r, r.clipHighSequences)
        : perToken(r, r.clipHigh);
  }

  private static double perToken(Result r, double sum) {
    return r.tokens == 0 ? 0 : sum / r.tokens;
  }

  private static double perSequence(Result r, double sum) {
    return r.sequences == 0 ? 0 : sum / r.sequences;
  }

  private void close(String what, double actual, double expected) {
    Tolerance.assertClose(what, bar, actual, expected, scale());
  }
}
