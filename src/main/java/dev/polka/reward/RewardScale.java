package dev.polka.reward;

/**
 * Moves, scales and bounds rewards: {@code clip((R + bias) scale, low, high)}. AReaL bounds at 20;
 * OpenRLHF bounds at 10, after the baseline is subtracted, so give it those; ROLL {@code
 * reward_clip}. An infinite reward becomes the bound, a NaN stays NaN.
 *
 * @param bias what is added first; 0 for nothing
 * @param scale what the sum is multiplied by; 1 for nothing
 * @param low lower bound, negative infinity for none
 * @param high upper bound, infinity for none
 */
public record RewardScale(double bias, double scale, double low, double high) {
  /**
   * Checks the parameters.
   *
   * @param bias see the record
   * @param scale see the record
   * @param low see the record
   * @param high see the record
   * @throws IllegalArgumentException if bias or scale is not finite, or {@code low} not at most
   *     {@code high}
   */
  public RewardScale {
    if (!Double.isFinite(bias) || !Double.isFinite(scale)) {
      throw new IllegalArgumentException(
          "bias, scale: " + bias + " and " + scale + " are not both finite");
    }
    if (!(low <= high)) {
      throw new IllegalArgumentException("clip: [" + low + ", " + high + "] is empty");
    }
  }

  /**
   * Bounds alone.
   *
   * @param low lower bound
   * @param high upper bound
   * @return the rule
   * @throws IllegalArgumentException if {@code low} is not at most {@code high}
   */
  public static RewardScale clip(double low, double high) {
    return new RewardScale(0, 1, low, high);
  }

  /**
   * {@return the new reward}
   *
   * @param reward the reward
   */
  public double of(double reward) {
    return Math.max(low, Math.min(high, (reward + bias) * scale));
  }

  /**
   * {@return the new rewards}
   *
   * @param rewards one per response
   */
  public double[] apply(double... rewards) {
    double[] shaped = new double[rewards.length];
    for (int i = 0; i < shaped.length; i++) {
      shaped[i] = of(rewards[i]);
    }
    return shaped;
  }

  /**
   * {@return the share of rewards that a bound holds (ROLL {@code critic/reward_clip_frac}); 0 for
   * none}
   *
   * @param rewards one per response
   */
  public double clipFraction(double... rewards) {
    double held = 0;
    for (double reward : rewards) {
      double free = (reward + bias) * scale;
      held += free < low || free > high ? 1 : 0;
    }
    return rewards.length == 0 ? 0 : held / rewards.length;
  }
}
