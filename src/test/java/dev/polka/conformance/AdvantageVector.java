package dev.polka.conformance;

import dev.polka.reference.ReferenceGroupAdvantage;
import dev.polka.reference.ReferenceGroupAdvantage.Scale;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * A group-advantage vector: rewards sorted by group, group offsets, and what verl computed for each
 * token.
 *
 * @param order position in the sorted rewards -> sequence of the vector
 */
record AdvantageVector(
    GoldenCase golden,
    ReferenceGroupAdvantage options,
    Integer[] order,
    double[] rewards,
    long[] groupOffsets) {

  /** Why a case cannot run yet; empty when it can. */
  static Optional<String> pending(GoldenCase c) {
    return options(c).isPresent() ? Optional.empty() : Optional.of("estimator " + c.operation());
  }

  /** verl keeps a singleton's raw reward, except in its vectorised RLOO. */
  private static Optional<ReferenceGroupAdvantage> options(GoldenCase c) {
    boolean byStd = c.option("norm_adv_by_std_in_grpo", true);
    double epsilon =
        "verl default".equals(c.option("epsilon", "verl default"))
            ? 1e-6
            : c.option("epsilon", 1e-6);
    ReferenceGroupAdvantage grpo =
        new ReferenceGroupAdvantage(
            false, byStd ? Scale.UNBIASED : Scale.NONE, epsilon, false, true);
    return Optional.ofNullable(
        switch (c.operation()) {
          case "verl:compute_grpo_outcome_advantage",
              "verl:compute_grpo_vectorized_outcome_advantage" ->
              grpo;
          case "verl:compute_rloo_outcome_advantage" ->
              new ReferenceGroupAdvantage(true, Scale.NONE, 0, false, true);
          case "verl:compute_rloo_vectorized_outcome_advantage" ->
              new ReferenceGroupAdvantage(true, Scale.NONE, 0, false, false);
          default -> null;
        });
  }

  /** verl's vectorised GRPO casts to f32 whatever it is given, so its numbers are f32 results. */
  boolean computedInF64() {
    return !golden.operation().equals("verl:compute_grpo_vectorized_outcome_advantage");
  }

  static AdvantageVector of(GoldenCase c) {
    double[] reward = c.inputs("reward");
    double[] group = c.inputs("group");
    Integer[] order =
        IntStream.range(0, reward.length)
            .boxed()
            .sorted(Comparator.comparingDouble(i -> group[i]))
            .toArray(Integer[]::new);
    double[] sorted = Arrays.stream(order).mapToDouble(i -> reward[i]).toArray();
    int[] starts =
        IntStream.range(0, order.length)
            .filter(i -> i == 0 || group[order[i]] != group[order[i - 1]])
            .toArray();
    long[] offsets =
        Arrays.copyOf(Arrays.stream(starts).asLongStream().toArray(), starts.length + 1);
    offsets[starts.length] = order.length;
    return new AdvantageVector(c, options(c).orElseThrow(), order, sorted, offsets);
  }

  int start(int group) {
    return (int) groupOffsets[group];
  }

  /** Every token of a sequence has its advantage, padding has 0. */
  void check(double bar, double[] advantages) {
    double[][] expected = GoldenCase.rows(golden.expected().get("token_advantage"));
    double[] length = golden.inputs("length");
    for (int g = 0; g + 1 < groupOffsets.length; g++) {
      int from = (int) groupOffsets[g];
      int to = (int) groupOffsets[g + 1];
      double scale = Tolerance.largest(Arrays.copyOfRange(rewards, from, to));
      for (int i = from; i < to; i++) {
        for (int t = 0; t < length[order[i]]; t++) {
          String what = "advantage of sequence " + order[i] + ", token " + t;
          Tolerance.assertClose(what, bar, advantages[i], expected[order[i]][t], scale);
        }
      }
    }
  }
}
