package dev.polka.policy;

/**
 * The coefficient of an entropy bonus that keeps the entropy at a target (Skywork-OR1, He et al.
 * 2025; TRL). After each step it moves by a constant, and the bonus applies only while the entropy
 * is at or below the target:
 *
 * <pre>{@code
 * coefficient' = clip(coefficient + step sign(target - H), low, high)
 * applied      = H <= target ? coefficient : 0
 * }</pre>
 *
 * <p>H is the mean entropy of the tokens of the step, in nats. A static bonus needs no controller:
 * {@code PolicyLoss.withEntropyBonus}.
 *
 * <p>Immutable and thread-safe: a step returns the next controller.
 *
 * @param coefficient what the bonus is multiplied by, where it applies
 * @param target the entropy to hold, in nats; 0.2 in TRL
 * @param step how far the coefficient moves in a step; 0.005 in TRL
 * @param low its lower bound; 0 in TRL
 * @param high its upper bound; 1 in TRL
 */
public record EntropyController(
    double coefficient, double target, double step, double low, double high) {
  /**
   * Checks the parameters.
   *
   * @param coefficient see the record
   * @param target see the record
   * @param step see the record
   * @param low see the record
   * @param high see the record
   * @throws IllegalArgumentException if one is not finite, target or step is negative, or the
   *     coefficient is outside its bounds
   */
  public EntropyController {
    Check.finite("coefficient", coefficient);
    Check.notNegative("target", target);
    Check.notNegative("step", step);
    Check.range("coefficient", Check.finite("low", low), Check.finite("high", high));
    if (coefficient < low || coefficient > high) {
      throw new IllegalArgumentException(
          "coefficient: " + coefficient + " is outside [" + low + ", " + high + "]");
    }
  }

  /**
   * A controller with TRL's step, 0.005, and bounds, [0, 1].
   *
   * @param initial the first coefficient
   * @param target the entropy to hold, in nats
   * @return the controller
   * @throws IllegalArgumentException if {@code initial} is outside [0, 1], or {@code target} not
   *     finite and >= 0
   */
  public static EntropyController adaptive(double initial, double target) {
    return new EntropyController(initial, target, 0.005, 0, 1);
  }

  /**
   * The coefficient for {@code PolicyLoss.withEntropyBonus} in a step.
   *
   * @param entropy the mean entropy per token of the step, in nats
   * @return the coefficient; 0 above the target
   * @throws IllegalArgumentException if {@code entropy} is not finite
   */
  public double applied(double entropy) {
    return Check.finite("entropy", entropy) <= target ? coefficient : 0;
  }

  /**
   * The controller after a step.
   *
   * @param entropy the mean entropy per token of the step, in nats
   * @return a controller whose coefficient has moved by one step towards the target
   * @throws IllegalArgumentException if {@code entropy} is not finite
   */
  public EntropyController next(double entropy) {
    double moved = coefficient + step * Math.signum(target - Check.finite("entropy", entropy));
    return new EntropyController(Math.max(low, Math.min(high, moved)), target, step, low, high);
  }
}
