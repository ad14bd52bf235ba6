package dev.polka.conformance;

import static dev.polka.reference.ReferenceAdvantages.spread;

import dev.polka.kernel.EpsilonPlacement;
import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.kernel.Singleton;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Longs;
import dev.polka.policy.AdvantageEstimator;
import dev.polka.policy.Gae;
import dev.polka.policy.Gpg;
import dev.polka.policy.OutcomeAdvantage;
import dev.polka.policy.ReMax;
import dev.polka.policy.ReinforcePlusPlus;
import dev.polka.policy.ReinforcePlusPlusBaseline;
import dev.polka.policy.RewardBatch;
import dev.polka.policy.Whitening;
import dev.polka.reference.ReferenceAdvantages;
import dev.polka.reference.ReferenceGroupAdvantage;
import dev.polka.reference.ReferenceGroupAdvantage.Scale;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * An advantage vector: sequences sorted by group, and what verl computed for each token.
 *
 * @param order position in the sorted sequences -> sequence of the vector
 * @param group the group of each sorted sequence; one of its own where the vector has no groups
 */
record AdvantageVector(GoldenCase golden, int[] order, int[] group, int[] lengths) {
  private static final double EPSILON = 1e-6;

  static AdvantageVector of(GoldenCase c) {
    double[] lengths = c.inputs("length");
    boolean grouped = c.ownInputs().has("group");
    double[] group =
        grouped ? c.inputs("group") : IntStream.range(0, lengths.length).asDoubleStream().toArray();
    int[] order =
        IntStream.range(0, lengths.length)
            .boxed()
            .sorted(Comparator.comparingDouble(i -> group[i]))
            .mapToInt(i -> i)
            .toArray();
    return new AdvantageVector(
        c,
        order,
        Arrays.stream(order).map(i -> (int) group[i]).toArray(),
        Arrays.stream(order).map(i -> (int) lengths[i]).toArray());
  }

  private String estimator() {
    return golden.operation().replaceAll("^verl:compute_|(_outcome)?_advantage(_return)?$", "");
  }

  private double epsilon() {
    boolean ownDefault = "verl default".equals(golden.option("epsilon", "verl default"));
    return ownDefault ? EPSILON : golden.option("epsilon", EPSILON);
  }

  /** verl keeps a singleton's raw reward, except in its vectorised RLOO. */
  Optional<ReferenceGroupAdvantage> options() {
    boolean byStd = golden.option("norm_adv_by_std_in_grpo", true);
    Scale scale = byStd ? Scale.UNBIASED : Scale.NONE;
    return Optional.ofNullable(
        switch (estimator()) {
          case "grpo", "grpo_vectorized" ->
              new ReferenceGroupAdvantage(false, scale, epsilon(), false, true);
          case "rloo" -> new ReferenceGroupAdvantage(true, Scale.NONE, 0, false, true);
          case "rloo_vectorized" -> new ReferenceGroupAdvantage(true, Scale.NONE, 0, false, false);
          default -> null;
        });
  }

  /** The estimator of the library that does what verl's does. */
  AdvantageEstimator library() {
    boolean byStd = golden.option("norm_adv_by_std_in_grpo", true);
    double gamma = golden.option("gamma", 1.0);
    return switch (estimator()) {
      case "grpo", "grpo_vectorized" ->
          outcome(byStd ? GroupAdvantage.grpo() : GroupAdvantage.drGrpo());
      case "rloo" -> outcome(GroupAdvantage.rloo());
      case "rloo_vectorized" ->
          OutcomeAdvantage.of(GroupAdvantage.rloo().withSingleton(Singleton.ZERO));
      case "opo" -> outcome(GroupAdvantage.opo());
      case "grpo_passk" ->
          OutcomeAdvantage.of(GroupAdvantage.passAtK().withSingleton(Singleton.ERROR));
      case "gpg" -> Gpg.standard().withSingleton(Singleton.RAW);
      case "reinforce_plus_plus_baseline" ->
          ReinforcePlusPlusBaseline.standard().withSingleton(Singleton.RAW);
      case "reinforce_plus_plus" -> ReinforcePlusPlus.standard().withDiscount(gamma);
      case "remax" -> ReMax.standard();
      case "gae" -> Gae.of(gamma, golden.option("lam", 1.0)).withWhitening(Whitening.unbiased());
      default -> throw new AssertionError("no estimator for " + golden.name());
    };
  }

  private OutcomeAdvantage outcome(GroupAdvantage group) {
    return OutcomeAdvantage.of(
        group.withEpsilon(epsilon(), EpsilonPlacement.OUTSIDE).withSingleton(Singleton.RAW));
  }

  /** The same by the f64 reference: per sorted sequence and token. */
  double[][] reference() {
    double gamma = golden.option("gamma", 1.0);
    return switch (estimator()) {
      case "opo" -> spread(ReferenceAdvantages.opo(rewards(), group, lengths), lengths);
      case "grpo_passk" ->
          spread(ReferenceAdvantages.passAtK(rewards(), group, epsilon()), lengths);
      case "gpg" -> spread(ReferenceAdvantages.gpg(rewards(), group), lengths);
      case "reinforce_plus_plus_baseline" ->
          ReferenceAdvantages.whitened(
              spread(ReferenceAdvantages.centered(rewards(), group), lengths));
      case "reinforce_plus_plus" ->
          ReferenceAdvantages.whitened(
              ReferenceAdvantages.returns(perToken("token_reward"), gamma));
      case "remax" ->
          ReferenceAdvantages.reMax(perToken("token_reward"), sorted("reward_baseline"));
      case "gae" ->
          ReferenceAdvantages.whitened(
              ReferenceAdvantages.gae(
                  perToken("token_reward"), perToken("value"), gamma, golden.option("lam", 1.0)));
      default -> spread(byGroup(options().orElseThrow()), lengths);
    };
  }

  private double[] byGroup(ReferenceGroupAdvantage options) {
    long[] offsets = groupOffsets();
    return IntStream.range(0, offsets.length - 1)
        .mapToObj(g -> Arrays.copyOfRange(rewards(), (int) offsets[g], (int) offsets[g + 1]))
        .flatMapToDouble(own -> Arrays.stream(options.of(own)))
        .toArray();
  }

  long[] groupOffsets() {
    long[] starts =
        IntStream.range(0, order.length)
            .filter(i -> i == 0 || group[i] != group[i - 1])
            .asLongStream()
            .toArray();
    long[] offsets = Arrays.copyOf(starts, starts.length + 1);
    offsets[starts.length] = order.length;
    return offsets;
  }

  double[] rewards() {
    return sorted("reward");
  }

  private double[] sorted(String field) {
    double[] values = golden.inputs(field);
    return Arrays.stream(order).mapToDouble(i -> values[i]).toArray();
  }

  private double[][] perToken(String field) {
    double[][] padded = golden.inputRows(field);
    return IntStream.range(0, order.length)
        .mapToObj(i -> Arrays.copyOf(padded[order[i]], lengths[i]))
        .toArray(double[][]::new);
  }

  /** The sorted sequences, padded as they are in the vector. */
  RewardBatch batch() {
    int width = golden.input("T").asInt();
    TokenLayout layout = TokenLayout.padded(width, Arrays.stream(lengths).asLongStream().toArray());
    if (!golden.ownInputs().has("token_reward")) {
      return RewardBatch.of(layout, rewards())
          .withGroups(Groups.ofOffsets(Longs.copyOf(groupOffsets())));
    }
    RewardBatch batch = RewardBatch.ofTokens(layout, flat("token_reward"));
    return switch (estimator()) {
      case "gae" -> batch.withValues(flat("value"));
      case "remax" -> batch.withGreedyRewards(sorted("reward_baseline"));
      default -> batch;
    };
  }

  private double[] flat(String field) {
    double[][] padded = golden.inputRows(field);
    return Arrays.stream(order).mapToObj(i -> padded[i]).flatMapToDouble(Arrays::stream).toArray();
  }

  /** verl's vectorised GRPO casts to f32 whatever it is given, so its numbers are f32 results. */
  boolean computedInF64() {
    return !estimator().equals("grpo_vectorized");
  }

  /** Token rewards and values are f32 in the library. */
  boolean throughF32() {
    return golden.ownInputs().has("token_reward");
  }

  void checkPerSequence(double bar, double[] advantages) {
    check("token_advantage", bar, spread(advantages, lengths));
  }

  /** Every token of a sequence has its number. */
  void check(String field, double bar, double[][] actual) {
    double[][] expected = GoldenCase.rows(golden.expected().get(field));
    for (int i = 0; i < order.length; i++) {
      double scale = Tolerance.largest(entering(field, i));
      for (int t = 0; t < lengths[i]; t++) {
        String what = field + " of sequence " + order[i] + ", token " + t;
        Tolerance.assertClose(what, bar, actual[i][t], expected[order[i]][t], scale);
      }
    }
  }

  /** The inputs that enter a number of a sequence: with whitening those of all. */
  private double[] entering(String field, int sequence) {
    boolean whitened = !field.equals("token_return") && !estimator().equals("remax");
    if (!throughF32()) {
      boolean all = estimator().equals("reinforce_plus_plus_baseline");
      return IntStream.range(0, order.length)
          .filter(i -> all || group[i] == group[sequence])
          .mapToDouble(i -> rewards()[i])
          .toArray();
    }
    return IntStream.range(0, order.length)
        .filter(i -> whitened || i == sequence)
        .boxed()
        .flatMapToDouble(i -> Arrays.stream(tokenInputs(i)))
        .toArray();
  }

  private double[] tokenInputs(int i) {
    double[] rewards = perToken("token_reward")[i];
    return switch (estimator()) {
      case "gae" -> GoldenCase.flat(new double[][] {rewards, perToken("value")[i]});
      case "remax" -> GoldenCase.flat(new double[][] {rewards, {sorted("reward_baseline")[i]}});
      default -> rewards;
    };
  }

  /** Rows of padded sequences, without the padding. */
  double[][] unpadded(double[] perRow) {
    int width = golden.input("T").asInt();
    return IntStream.range(0, order.length)
        .mapToObj(i -> Arrays.copyOfRange(perRow, i * width, i * width + lengths[i]))
        .toArray(double[][]::new);
  }
}
