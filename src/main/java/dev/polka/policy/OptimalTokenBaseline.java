package dev.polka.policy;

import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.kernel.Singleton;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Doubles;
import dev.polka.memory.Longs;
import java.util.Arrays;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * The optimal token baseline (verl): at each position of a group the baseline under which the
 * gradient has the least variance, which weighs returns by squared norms of scores (Greensmith et
 * al. 2004), here by how much the score of each answer has moved so far.
 *
 * <pre>{@code
 * G_it = reward to go of answer i from its token number t on
 * W_it = sum over its tokens j <= t of (1 - 2 p_j + sum_v p_jv^2) rho_j^2
 * A_it = G_it - sum_k W_kt G_kt / sum_k W_kt    over the answers k of the group that reach t
 * }</pre>
 *
 * <p>Needs {@link RewardBatch#withScoreNorms} and groups. Tokens are numbered among those that
 * count, so that tool answers do not shift one answer against another (verl {@code
 * tir_optimal_token_baseline}; its {@code optimal_token_baseline} numbers all rows, which is the
 * same without such rows). Where a single answer reaches a position, the baseline is its own return
 * and the advantage 0; verl keeps the raw return there: {@code withSingleton(Singleton.RAW)}. verl
 * adds 1e-8 to the divisor. Returns that are all equal at a position give exactly 0 there. The
 * returns of the result are G.
 *
 * <p>Immutable and thread-safe.
 */
public final class OptimalTokenBaseline implements AdvantageEstimator {
  private final GroupAdvantage operation;
  private final double[] ratios; // null: ones

  private OptimalTokenBaseline(GroupAdvantage operation, double[] ratios) {
    this.operation = operation;
    this.ratios = ratios;
  }

  /** {@return the estimator} */
  public static OptimalTokenBaseline standard() {
    return new OptimalTokenBaseline(GroupAdvantage.opo(), null);
  }

  /**
   * Chooses what a token gets at a position that no other answer of the group reaches.
   *
   * @param singleton the policy
   * @return the estimator with it
   */
  public OptimalTokenBaseline withSingleton(Singleton singleton) {
    Objects.requireNonNull(singleton, "singleton");
    return new OptimalTokenBaseline(operation.withSingleton(singleton), ratios);
  }

  /**
   * Adds the importance weights that the loss will have, whose squares the variance is weighted by
   * (verl {@code rollout_is_weights}).
   *
   * @param ratios one per row of the batch: rho
   * @return the estimator for that batch
   */
  public OptimalTokenBaseline withImportanceWeights(double... ratios) {
    return new OptimalTokenBaseline(operation, ratios.clone());
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    TokenLayout layout = batch.rewarded();
    double[] returns = RewardToGo.discounted(batch, 1);
    double[] energy = energy(layout, batch.scoreNorms());
    Positions positions = Positions.of(layout, batch.groups().starts(layout.sequences()));
    try (Doubles rewards = Doubles.copyOf(positions.gather(returns));
        Doubles weights = Doubles.copyOf(positions.gather(energy));
        Longs offsets = Longs.copyOf(positions.offsets());
        Doubles out = operation.forward(rewards, Groups.ofOffsets(offsets).withWeights(weights))) {
      double[] advantages = positions.scatter(out.toArray(), layout.rows());
      return new Advantages(layout, advantages, returns);
    }
  }

  private double[] energy(TokenLayout layout, double[] norms) {
    if (ratios != null) {
      layout.requireRows("importanceWeights", ratios.length);
    }
    double[] energy = new double[layout.rows()];
    for (int b = 0; b < layout.sequences(); b++) {
      double sum = 0;
      for (int row = layout.first(b); row < layout.end(b); row++) {
        if (layout.counts(row)) {
          sum += norms[row] * (ratios == null ? 1 : ratios[row] * ratios[row]);
          energy[row] = sum;
        }
      }
    }
    return energy;
  }

  /** Rows that count, those of the same group and number one after the other. */
  private record Positions(int[] rows, long[] offsets) {
    static Positions of(TokenLayout layout, long[] groups) {
      int[] rows = new int[layout.tokens()];
      long[] offsets = new long[rows.length + 1];
      int count = 0;
      int positions = 0;
      for (int g = 0; g + 1 < groups.length; g++) {
        int[][] answers =
            IntStream.range((int) groups[g], (int) groups[g + 1])
                .mapToObj(b -> counted(layout, b))
                .toArray(int[][]::new);
        int longest = Arrays.stream(answers).mapToInt(answer -> answer.length).max().orElse(0);
        for (int t = 0; t < longest; t++) {
          for (int[] answer : answers) {
            if (t < answer.length) {
              rows[count++] = answer[t];
            }
          }
          offsets[++positions] = count;
        }
      }
      return new Positions(rows, Arrays.copyOf(offsets, positions + 1));
    }

    private static int[] counted(TokenLayout layout, int b) {
      return IntStream.range(layout.first(b), layout.end(b)).filter(layout::counts).toArray();
    }

    double[] gather(double[] perRow) {
      return Arrays.stream(rows).mapToDouble(row -> perRow[row]).toArray();
    }

    double[] scatter(double[] gathered, int count) {
      double[] perRow = new double[count];
      for (int i = 0; i < gathered.length; i++) {
        perRow[rows[i]] = gathered[i];
      }
      return perRow;
    }
  }
}
