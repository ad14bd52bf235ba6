package dev.polka.policy;

/**
 * The coefficient of a KL penalty: fixed, or moved towards a target (Ziegler et al. 2019; the
 * adaptive controller of verl, OpenRLHF, SkyRL and ROLL):
 *
 * <pre>{@code
 * error        = clip(kl / target - 1, -0.2, 0.2)
 * coefficient' = coefficient (1 + error samples / horizon)
 * }</pre>
 *
 * <p>Immutable and thread-safe: a step returns the next controller.
 */
public final class KlController {
  private static final double MAX_ERROR = 0.2;

  private final double coefficient;
  private final double target; // NaN: fixed
  private final double horizon;

  private KlController(double coefficient, double target, double horizon) {
    this.coefficient = coefficient;
    this.target = target;
    this.horizon = horizon;
  }

  /**
   * A coefficient that stays: what most systems do (verl 0.001, TRL RLOO 0.05, OpenRLHF 0.01).
   *
   * @param coefficient what the KL is multiplied by
   * @return the controller
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public static KlController fixed(double coefficient) {
    return new KlController(Check.finite("coefficient", coefficient), Double.NaN, Double.NaN);
  }

  /**
   * A coefficient that holds the KL near a target.
   *
   * @param initial the first coefficient
   * @param target the KL to hold, in the unit of what {@link #next} is given; 0.1 in verl
   * @param horizon over how many samples an error of 1 would double the coefficient; 10000 in verl
   * @return the controller
   * @throws IllegalArgumentException if one is not finite and > 0
   */
  public static KlController adaptive(double initial, double target, double horizon) {
    return new KlController(
        Check.positive("initial", initial),
        Check.positive("target", target),
        Check.positive("horizon", horizon));
  }

  /** {@return what the KL is multiplied by} */
  public double coefficient() {
    return coefficient;
  }

  /**
   * The controller after a step.
   *
   * @param kl the mean KL of the step: per token or per sequence, as the target is
   * @param samples how many the step had; verl counts sequences
   * @return itself if fixed, else a controller with the coefficient moved; never below 0
   * @throws IllegalArgumentException if {@code kl} is not finite, or {@code samples} negative
   */
  public KlController next(double kl, long samples) {
    Check.finite("kl", kl);
    Check.notNegative("samples", samples);
    if (Double.isNaN(target)) {
      return this;
    }
    double error = Math.max(-MAX_ERROR, Math.min(MAX_ERROR, kl / target - 1));
    double factor = Math.max(0, 1 + error * samples / horizon);
    return new KlController(coefficient * factor, target, horizon);
  }

  @Override
  public String toString() {
    return Double.isNaN(target)
        ? "KL coefficient " + coefficient
        : "KL coefficient " + coefficient + " towards " + target + " over " + horizon;
  }
}
