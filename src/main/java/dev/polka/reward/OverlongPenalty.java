package dev.polka.reward;

/**
 * A penalty that grows over the last tokens that a response may have (DAPO, Yu et al. 2025, "soft
 * overlong punishment"):
 *
 * <pre>{@code
 * R' = R + factor min(0, (maxLength - buffer - length) / buffer), not below R - factor
 * }</pre>
 *
 * <p>The paper and OpenRLHF stop at {@code -factor}; verl, AReaL and NeMo-RL go on below it where a
 * response is longer than {@code maxLength}: {@link #unbounded}.
 *
 * @param maxLength tokens that a response may have
 * @param buffer over how many of them the penalty grows; 4096 of 20480 in the paper, 512 in SkyRL's
 *     recipe
 * @param factor the penalty at {@code maxLength}; 1 in all peers
 * @param bounded whether it stops there
 */
public record OverlongPenalty(long maxLength, long buffer, double factor, boolean bounded) {
  /**
   * Checks the parameters.
   *
   * @param maxLength see the record
   * @param buffer see the record
   * @param factor see the record
   * @param bounded see the record
   * @throws IllegalArgumentException if {@code buffer} is not in [1, maxLength], or {@code factor}
   *     negative or not finite
   */
  public OverlongPenalty {
    if (buffer < 1 || buffer > maxLength) {
      throw new IllegalArgumentException(
          "buffer: " + buffer + " is not in [1, " + maxLength + " (the maximal length)]");
    }
    if (!(factor >= 0) || factor == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException("factor: " + factor + " is not finite and >= 0");
    }
  }

  /**
   * The penalty of the paper, with factor 1.
   *
   * @param maxLength tokens that a response may have
   * @param buffer over how many of them the penalty grows
   * @return the penalty
   * @throws IllegalArgumentException if {@code buffer} is not in [1, maxLength]
   */
  public static OverlongPenalty of(long maxLength, long buffer) {
    return new OverlongPenalty(maxLength, buffer, 1, true);
  }

  /**
   * {@return the penalty with another size}
   *
   * @param value the penalty at the maximal length
   * @throws IllegalArgumentException if it is negative or not finite
   */
  public OverlongPenalty withFactor(double value) {
    return new OverlongPenalty(maxLength, buffer, value, bounded);
  }

  /** {@return the penalty of verl, which grows on where a response is longer than it may be} */
  public OverlongPenalty unbounded() {
    return new OverlongPenalty(maxLength, buffer, factor, false);
  }

  /**
   * {@return what a response of this length gets, 0 or less}
   *
   * @param length its tokens
   */
  public double of(long length) {
    double over = Math.max(0, length - (maxLength - buffer)) / (double) buffer;
    return over == 0 ? 0 : -factor * (bounded ? Math.min(over, 1) : over);
  }

  /**
   * Adds the penalty to rewards.
   *
   * @param rewards one per response
   * @param lengths tokens of each response
   * @return new rewards
   * @throws IllegalArgumentException if there is not one length per reward
   */
  public double[] apply(double[] rewards, long... lengths) {
    Sizes.require("lengths", lengths.length, rewards.length);
    double[] shaped = new double[rewards.length];
    for (int i = 0; i < shaped.length; i++) {
      shaped[i] = rewards[i] + of(lengths[i]);
    }
    return shaped;
  }
}
