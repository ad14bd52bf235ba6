package dev.polka.policy;

import dev.polka.kernel.Groups;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Longs;
import dev.polka.reference.Noise;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * A step of sequences, from which batches can be made in any order and selection. A masked row has
 * NaN wherever a number stands.
 */
record RewardStep(List<Sequence> sequences) {
  /** One answer; {@code rows} has one entry per row. */
  record Sequence(
      int group, double reward, double greedy, boolean[] mask, double[][] rows, double[] parts) {
    Sequence withReward(double other) {
      return new Sequence(group, other, greedy, mask, rows, new double[] {other, other});
    }

    int tokens() {
      return (int) IntStream.range(0, mask.length).filter(t -> mask[t]).count();
    }
  }

  static final int TOKEN_REWARD = 0;
  static final int VALUE = 1;
  static final int LOG_PROB = 2;
  static final int SUM_P2 = 3;

  /** Ragged groups of 1 to 6 sequences of 1 to 12 rows, of which some are masked. */
  static RewardStep of(long seed, int groups) {
    Noise noise = Noise.of(seed);
    return new RewardStep(
        IntStream.range(0, groups)
            .boxed()
            .flatMap(
                g ->
                    IntStream.range(0, 1 + noise.below(g, 6))
                        .mapToObj(i -> sequence(g, noise.stream(100 * g + i))))
            .toList());
  }

  private static Sequence sequence(int group, Noise noise) {
    int length = 1 + noise.below(0, 12);
    boolean[] mask = noise.stream(1).booleans(length, 0.75);
    double[][] rows = new double[4][length];
    for (int t = 0; t < length; t++) {
      double p = noise.stream(2).uniform(t, 0.05, 0.95);
      rows[TOKEN_REWARD][t] = mask[t] ? (float) noise.stream(3).normal(t) : Double.NaN;
      rows[VALUE][t] = mask[t] ? (float) noise.stream(4).normal(t) : Double.NaN;
      rows[LOG_PROB][t] = mask[t] ? Math.log(p) : Double.NaN;
      rows[SUM_P2][t] = mask[t] ? p * p + (1 - p) * (1 - p) / 3 : Double.NaN;
    }
    double reward = (float) noise.stream(5).normal(0);
    double greedy = (float) noise.stream(6).normal(0);
    return new Sequence(
        group, reward, greedy, mask, rows, new double[] {reward, noise.stream(7).normal(0)});
  }

  RewardStep map(java.util.function.UnaryOperator<Sequence> change) {
    return new RewardStep(sequences.stream().map(change).toList());
  }

  RewardStep groups(int from, int to) {
    return new RewardStep(
        sequences.stream().filter(s -> s.group() >= from && s.group() < to).toList());
  }

  int groupCount() {
    return 1 + sequences.stream().mapToInt(Sequence::group).max().orElse(-1);
  }

  TokenLayout layout() {
    boolean[] mask = new boolean[sequences.stream().mapToInt(s -> s.mask().length).sum()];
    int row = 0;
    for (Sequence s : sequences) {
      System.arraycopy(s.mask(), 0, mask, row, s.mask().length);
      row += s.mask().length;
    }
    return TokenLayout.ofLengths(sequences.stream().mapToLong(s -> s.mask().length).toArray())
        .withMask(mask);
  }

  private Groups grouping() {
    long[] starts =
        IntStream.range(0, sequences.size())
            .filter(i -> i == 0 || sequences.get(i).group() != sequences.get(i - 1).group())
            .asLongStream()
            .toArray();
    long[] offsets = Arrays.copyOf(starts, starts.length + 1);
    offsets[starts.length] = sequences.size();
    return Groups.ofOffsets(Longs.copyOf(offsets));
  }

  private double[] each(ToDoubleFunction<Sequence> number) {
    return sequences.stream().mapToDouble(number).toArray();
  }

  private double[] rows(int field) {
    return sequences.stream().flatMapToDouble(s -> Arrays.stream(s.rows()[field])).toArray();
  }

  /** Outcomes alone, with all that estimators may ask for. */
  RewardBatch outcomes() {
    return complete(
        RewardBatch.ofComponents(layout(), each(s -> s.parts()[0]), each(s -> s.parts()[1])));
  }

  /** One outcome per sequence. */
  RewardBatch rewards() {
    return complete(RewardBatch.of(layout(), each(Sequence::reward)));
  }

  /** The same with rewards of tokens. */
  RewardBatch tokens() {
    return rewards().withTokenRewards(rows(TOKEN_REWARD));
  }

  private RewardBatch complete(RewardBatch batch) {
    return batch
        .withGroups(grouping())
        .withGreedyRewards(each(Sequence::greedy))
        .withValues(rows(VALUE))
        .withScoreNorms(rows(LOG_PROB), rows(SUM_P2));
  }
}
