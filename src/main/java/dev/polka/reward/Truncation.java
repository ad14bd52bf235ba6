package dev.polka.reward;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;

/**
 * What a response is worth that was cut off before its end, so that a policy learns to stop
 * properly: its reward times a factor (ProRL, Liu et al. 2025; NeMo-RL, OpenRLHF {@code
 * stop_properly_penalty_coef} in [0, 1]), or a reward of its own (OpenRLHF's coefficient below 0).
 *
 * <p>Another way is to leave it out: {@link #withoutTruncated}.
 *
 * <p>Immutable and thread-safe.
 */
public final class Truncation {
  private final double factor;
  private final double value; // NaN: the factor counts

  private Truncation(double factor, double value) {
    this.factor = factor;
    this.value = value;
  }

  /**
   * Multiplies the rewards of truncated responses.
   *
   * @param factor in [0, 1]
   * @return the rule
   * @throws IllegalArgumentException if it is not in [0, 1]
   */
  public static Truncation scaledBy(double factor) {
    if (!(factor >= 0 && factor <= 1)) {
      throw new IllegalArgumentException("factor: " + factor + " is not in [0, 1]");
    }
    return new Truncation(factor, Double.NaN);
  }

  /**
   * Replaces the rewards of truncated responses.
   *
   * @param reward what each gets
   * @return the rule
   * @throws IllegalArgumentException if it is not finite
   */
  public static Truncation worth(double reward) {
    if (!Double.isFinite(reward)) {
      throw new IllegalArgumentException("reward: " + reward + " is not finite");
    }
    return new Truncation(1, reward);
  }

  /**
   * Applies the rule.
   *
   * @param rewards one per response
   * @param truncated whether each was cut off
   * @return new rewards
   * @throws IllegalArgumentException if there is not one flag per reward
   */
  public double[] apply(double[] rewards, boolean... truncated) {
    Sizes.require("truncated", truncated.length, rewards.length);
    double[] shaped = rewards.clone();
    for (int i = 0; i < shaped.length; i++) {
      if (truncated[i]) {
        shaped[i] = Double.isNaN(value) ? factor * rewards[i] : value;
      }
    }
    return shaped;
  }

  /**
   * Leaves truncated responses out of the loss (TRL {@code mask_truncated_completions}, SkyRL
   * {@code apply_overlong_filtering}, AReaL {@code mask_no_eos_with_zero}). Their rewards still
   * count for their group.
   *
   * @param layout the tokens
   * @param truncated whether each sequence was cut off
   * @return the tokens of the others
   * @throws IllegalArgumentException if there is not one flag per sequence
   */
  public static TokenLayout withoutTruncated(TokenLayout layout, boolean... truncated) {
    layout.requireSequences("truncated", truncated.length);
    boolean[] keep = new boolean[layout.rows()];
    for (int b = 0; b < truncated.length; b++) {
      Arrays.fill(keep, layout.first(b), layout.end(b), !truncated[b]);
    }
    return layout.keeping(keep);
  }
}
