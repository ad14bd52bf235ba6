package dev.polka.policy;

import java.util.Objects;

/**
 * How much a token that the sampler drew counts under the policy that trains: {@code w =
 * exp(log-ratio)} of the proximal policy over the sampler, taken over a token, a sequence or the
 * mean of a sequence, and what happens outside a range.
 *
 * @param level what the log-ratio is taken over
 * @param low lower bound of the range
 * @param high upper bound of the range
 * @param outside what happens to a weight outside the range
 */
public record ImportanceWeight(Level level, double low, double high, Outside outside) {
  /** What a log-ratio is taken over. */
  public enum Level {
    /** Each token has its own. Low variance, biased for whole sequences. */
    TOKEN,
    /** The sum over the sequence: the exact weight of the sequence, of high variance. */
    SEQUENCE,
    /** The mean over the sequence: a geometric mean (AReaL, ROLL {@code geometric}). */
    GEOMETRIC
  }

  /** What happens to weights outside the range. */
  public enum Outside {
    /** They become the bound: truncated importance sampling. */
    TRUNCATE,
    /** They become 0: masked importance sampling, IcePop. */
    ZERO
  }

  /**
   * Checks the range.
   *
   * @param level see the record
   * @param low see the record
   * @param high see the record
   * @param outside see the record
   * @throws IllegalArgumentException if {@code low} is negative, or not at most {@code high}
   */
  public ImportanceWeight {
    Objects.requireNonNull(level, "level");
    Objects.requireNonNull(outside, "outside");
    Check.notNegative("weight: low", low);
    Check.range("weight", low, high);
  }

  /**
   * Token weights up to a bound (TIS, Yao et al. 2025). 2 in verl, SkyRL and slime; OpenRLHF has a
   * lower bound too, [0.5, 5].
   *
   * @param high the bound
   * @return the weight
   * @throws IllegalArgumentException if {@code high} is negative or NaN
   */
  public static ImportanceWeight truncatedTokens(double high) {
    return new ImportanceWeight(Level.TOKEN, 0, high, Outside.TRUNCATE);
  }

  /**
   * Sequence weights up to a bound. 2 in verl, 5 in SkyRL, 3 in TRL {@code sequence_truncate}.
   *
   * @param high the bound
   * @return the weight
   * @throws IllegalArgumentException if {@code high} is negative or NaN
   */
  public static ImportanceWeight truncatedSequences(double high) {
    return new ImportanceWeight(Level.SEQUENCE, 0, high, Outside.TRUNCATE);
  }

  /**
   * Geometric means of a sequence's weights up to a bound. 5 in AReaL.
   *
   * @param high the bound
   * @return the weight
   * @throws IllegalArgumentException if {@code high} is negative or NaN
   */
  public static ImportanceWeight truncatedGeometric(double high) {
    return new ImportanceWeight(Level.GEOMETRIC, 0, high, Outside.TRUNCATE);
  }

  /**
   * Token weights, 0 outside a range (IcePop, Ling team 2025). [0.5, 5] in verl, NeMo-RL and
   * OpenRLHF; slime's range is [0, 2].
   *
   * @param low lower bound
   * @param high upper bound
   * @return the weight
   * @throws IllegalArgumentException if {@code low} is negative, or not at most {@code high}
   */
  public static ImportanceWeight icePop(double low, double high) {
    return new ImportanceWeight(Level.TOKEN, low, high, Outside.ZERO);
  }

  /**
   * Sequence weights, 0 above a bound (MIS; TRL's default {@code sequence_mask}, 3).
   *
   * @param high the bound
   * @return the weight
   * @throws IllegalArgumentException if {@code high} is negative or NaN
   */
  public static ImportanceWeight maskedSequences(double high) {
    return new ImportanceWeight(Level.SEQUENCE, 0, high, Outside.ZERO);
  }

  /** {@return token weights as they are} NeMo-RL and OpenRLHF {@code seq-mask-tis}. */
  public static ImportanceWeight tokens() {
    return new ImportanceWeight(Level.TOKEN, 0, Double.POSITIVE_INFINITY, Outside.TRUNCATE);
  }

  boolean isOutside(double weight) {
    return weight < low || weight > high;
  }

  double bounded(double weight) {
    if (!isOutside(weight)) {
      return weight;
    }
    return outside == Outside.ZERO ? 0 : weight < low ? low : high;
  }
}
