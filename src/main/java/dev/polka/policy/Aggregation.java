package dev.polka.policy;

import dev.polka.kernel.Normalizer;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Longs;

/**
 * How losses of tokens become one number, under the names of the literature. With l_t the loss of a
 * token, T_b the tokens of sequence b, N the tokens, B the sequences and P the prompts of the step:
 *
 * <pre>{@code
 * tokenMean                  1/N sum_t l_t
 * tokenSum                       sum_t l_t
 * sequenceMeanTokenMean      1/B sum_b 1/T_b sum_{t in b} l_t
 * sequenceMeanTokenSum       1/B sum_b       sum_{t in b} l_t
 * sequenceMeanTokenSumNorm   1/B sum_b 1/C   sum_{t in b} l_t
 * promptMean                 1/P sum_p 1/N_p sum_{t in p} l_t, N_p the tokens of prompt p
 * lengthWeighted             1/B sum_b T_b mean_{t in b} l_t
 * }</pre>
 *
 * <p>N, B and P are those of the whole optimizer step, {@link StepTotals}. So the gradients of
 * micro-batches, however the step is cut between sequences, add up to the gradient of the step. The
 * totals of the micro-batch itself give the local means that verl takes without {@code
 * batch_num_tokens}, AReaL, and TRL {@code bnpo}; those do not add up.
 *
 * <p>Where replicas average their gradients instead of adding them, {@link
 * Normalizer#withAveragedReplicas} makes up for it.
 *
 * <p>B counts sequences that have a token (verl, OpenRLHF, ROLL), unless {@link
 * #withEmptySequences}.
 *
 * <p>Immutable and thread-safe.
 */
public final class Aggregation {
  private enum Over {
    ONE,
    TOKENS,
    SEQUENCES,
    PROMPTS
  }

  private final String name;
  private final Over over;
  private final boolean mean; // each sequence is divided by a token count
  private final double constant;
  private final boolean emptySequences;

  private Aggregation(
      String name, Over over, boolean mean, double constant, boolean emptySequences) {
    this.name = name;
    this.over = over;
    this.mean = mean;
    this.constant = constant;
    this.emptySequences = emptySequences;
  }

  private static Aggregation of(String name, Over over, boolean mean) {
    return new Aggregation(name, over, mean, 1, false);
  }

  /**
   * {@return the mean over tokens} DAPO (Yu et al. 2025); the default of verl, OpenRLHF, NeMo-RL,
   * SkyRL and TRL ({@code dapo}).
   */
  public static Aggregation tokenMean() {
    return of("token-mean", Over.TOKENS, false);
  }

  /** {@return the sum over tokens} tinker's default; verl {@code token-sum}. */
  public static Aggregation tokenSum() {
    return of("token-sum", Over.ONE, false);
  }

  /**
   * {@return the mean over sequences of their means over tokens} GRPO (Shao et al. 2024); TRL
   * {@code grpo}, ROLL's default. slime divides by the global batch size.
   */
  public static Aggregation sequenceMeanTokenMean() {
    return of("seq-mean-token-mean", Over.SEQUENCES, true);
  }

  /** {@return the mean over sequences of their sums over tokens} verl, ROLL. */
  public static Aggregation sequenceMeanTokenSum() {
    return of("seq-mean-token-sum", Over.SEQUENCES, false);
  }

  /**
   * The mean over sequences of their sums over tokens, divided by a constant. Dr. GRPO (Liu et al.
   * 2025). ROLL divides by the width alone, not by B.
   *
   * @param length the constant C: the maximal completion length in TRL {@code dr_grpo} and SkyRL,
   *     {@code loss_scale_factor} or the padded width in verl
   * @return the aggregation
   * @throws IllegalArgumentException if {@code length} is not finite and > 0
   */
  public static Aggregation sequenceMeanTokenSumNorm(double length) {
    Check.positive("length", length);
    return new Aggregation("seq-mean-token-sum-norm", Over.SEQUENCES, false, length, false);
  }

  /** {@return the mean over prompts of their means over tokens} SkyRL {@code prompt-mean}. */
  public static Aggregation promptMean() {
    return of("prompt-mean", Over.PROMPTS, true);
  }

  /**
   * {@return the mean over sequences of their means over tokens times their lengths} TRL {@code
   * luspo}, which averages over empty sequences and, with a KL term, over padding too. The same
   * number as {@link #sequenceMeanTokenSum}.
   */
  public static Aggregation lengthWeighted() {
    return of("length-weighted", Over.SEQUENCES, false);
  }

  /** {@return the same with sequences without tokens counted in B} TRL's {@code grpo}. */
  public Aggregation withEmptySequences() {
    return new Aggregation(name, over, mean, constant, true);
  }

  /**
   * The normalizer for one micro-batch, by any aggregation but {@link #promptMean}.
   *
   * @param totals the counts of the step
   * @param microBatch the tokens at hand
   * @return what the loss of the micro-batch is divided by
   * @throws IllegalArgumentException if this is {@link #promptMean}
   */
  public Normalizer normalizer(StepTotals totals, TokenLayout microBatch) {
    if (over == Over.PROMPTS) {
      throw new IllegalArgumentException(
          "promptTokens: are missing, which prompt-mean divides sequences by");
    }
    return normalizer(totals, microBatch, microBatch.tokenCounts());
  }

  /**
   * The normalizer for one micro-batch.
   *
   * @param totals the counts of the step
   * @param microBatch the tokens at hand
   * @param promptTokens for each sequence of the micro-batch, the tokens of its prompt in the whole
   *     step; see {@link #promptTokens}. Read by {@link #promptMean} alone
   * @return what the loss of the micro-batch is divided by
   * @throws IllegalArgumentException if there is not one count per sequence
   */
  public Normalizer normalizer(StepTotals totals, TokenLayout microBatch, long... promptTokens) {
    microBatch.requireSequences("promptTokens", promptTokens.length);
    long count =
        switch (over) {
          case ONE -> 1;
          case TOKENS -> totals.tokens();
          case SEQUENCES -> totals.sequences() + (emptySequences ? totals.emptySequences() : 0);
          case PROMPTS -> totals.prompts();
        };
    if (!mean) {
      return Normalizer.constant(count * constant);
    }
    long[] tokens = over == Over.PROMPTS ? promptTokens : microBatch.tokenCounts();
    return Normalizer.sequences(count, Longs.copyOf(tokens));
  }

  /**
   * The tokens of each sequence's prompt.
   *
   * @param step the tokens of the whole step
   * @param prompts its rows are the sequences of {@code step}, its sequences the prompts
   * @return one per sequence
   * @throws IllegalArgumentException if there is not one row per sequence
   */
  public static long[] promptTokens(TokenLayout step, TokenLayout prompts) {
    step.requireSequences("prompts", prompts.rows());
    long[] tokens = new long[step.sequences()];
    for (int p = 0; p < prompts.sequences(); p++) {
      long sum = 0;
      for (int b = prompts.first(p); b < prompts.end(p); b++) {
        sum += step.tokens(b);
      }
      for (int b = prompts.first(p); b < prompts.end(p); b++) {
        tokens[b] = sum;
      }
    }
    return tokens;
  }

  /** {@return the name, as verl and SkyRL have it} */
  @Override
  public String toString() {
    return name;
  }
}
