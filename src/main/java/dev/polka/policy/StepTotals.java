package dev.polka.policy;

import dev.polka.kernel.TokenLayout;

/**
 * What an optimizer step holds in all its micro-batches and on all its replicas: the counts that an
 * {@link Aggregation} divides by. Each part counts its own; {@link #plus} (or an all-reduce) adds
 * them up before the first loss is computed.
 *
 * @param tokens rows that count
 * @param sequences sequences with a row that counts
 * @param emptySequences sequences without
 * @param prompts prompts with a row that counts; 0 where nobody asked
 */
public record StepTotals(long tokens, long sequences, long emptySequences, long prompts) {
  /**
   * Checks the counts.
   *
   * @param tokens see the record
   * @param sequences see the record
   * @param emptySequences see the record
   * @param prompts see the record
   * @throws IllegalArgumentException if one is negative
   */
  public StepTotals {
    Check.notNegative("tokens", tokens);
    Check.notNegative("sequences", sequences);
    Check.notNegative("emptySequences", emptySequences);
    Check.notNegative("prompts", prompts);
  }

  /**
   * {@return the counts of a part, without prompts}
   *
   * @param part its tokens
   */
  public static StepTotals of(TokenLayout part) {
    long sequences = 0;
    for (long tokens : part.tokenCounts()) {
      sequences += tokens > 0 ? 1 : 0;
    }
    return new StepTotals(part.tokens(), sequences, part.sequences() - sequences, 0);
  }

  /**
   * {@return the counts of a part that consists of whole prompts}
   *
   * @param part its tokens
   * @param prompts its rows are the sequences of {@code part}, its sequences the prompts
   * @throws IllegalArgumentException if there is not one row per sequence
   */
  public static StepTotals of(TokenLayout part, TokenLayout prompts) {
    StepTotals totals = of(part);
    long count = 0;
    for (double tokens : prompts.sums(asDoubles(part.tokenCounts()))) {
      count += tokens > 0 ? 1 : 0;
    }
    return new StepTotals(totals.tokens, totals.sequences, totals.emptySequences, count);
  }

  private static double[] asDoubles(long[] values) {
    double[] doubles = new double[values.length];
    for (int i = 0; i < values.length; i++) {
      doubles[i] = values[i];
    }
    return doubles;
  }

  /**
   * {@return the counts of this part and another one together}
   *
   * @param other another part of the step
   */
  public StepTotals plus(StepTotals other) {
    return new StepTotals(
        Math.addExact(tokens, other.tokens),
        Math.addExact(sequences, other.sequences),
        Math.addExact(emptySequences, other.emptySequences),
        Math.addExact(prompts, other.prompts));
  }
}
