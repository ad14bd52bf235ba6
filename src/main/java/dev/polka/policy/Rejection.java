package dev.polka.policy;

import dev.polka.kernel.KlEstimator;
import java.util.Objects;

/**
 * A test that tokens or sequences pass or are dropped by: an estimate of KL(sampler || proximal
 * policy), from {@code d = rollout - old}, has to be within a range, bounds included.
 *
 * <p>verl {@code rollout_rs} gives the range of k1 as a range of ratios, sampler over policy: its
 * {@code 0.5_5.0} is {@code ofRatio(scope, 0.2, 2)} here. AReaL and SkyRL give the ratio policy
 * over sampler, as here.
 *
 * @param estimator the estimate of a token
 * @param scope what is tested, and over what
 * @param low lower bound, in nats; negative infinity for none
 * @param high upper bound, in nats; infinity for none
 */
public record Rejection(KlEstimator estimator, Scope scope, double low, double high) {
  /** What is tested. */
  public enum Scope {
    /** Each token by its own estimate; tokens are dropped. */
    TOKEN,
    /** A sequence by the sum of its estimates. */
    SEQUENCE_SUM,
    /** A sequence by the mean of its estimates. */
    SEQUENCE_MEAN,
    /** A sequence by the largest of its estimates; verl has it for k2 and k3. */
    SEQUENCE_MAX
  }

  /**
   * Checks the range.
   *
   * @param estimator see the record
   * @param scope see the record
   * @param low see the record
   * @param high see the record
   * @throws IllegalArgumentException if {@code low} is not at most {@code high}
   */
  public Rejection {
    Objects.requireNonNull(estimator, "estimator");
    Objects.requireNonNull(scope, "scope");
    Check.range("rejection", low, high);
  }

  /**
   * Drops what has an estimate above a bound.
   *
   * @param estimator the estimate; with k1 there is no lower bound
   * @param scope what is tested
   * @param high upper bound, in nats; 0.01 in verl's {@code k3_rs}
   * @return the test
   * @throws IllegalArgumentException if {@code high} is NaN
   */
  public static Rejection above(KlEstimator estimator, Scope scope, double high) {
    return new Rejection(estimator, scope, Double.NEGATIVE_INFINITY, high);
  }

  /**
   * Drops what has an importance ratio, proximal policy over sampler, outside a range: k1 within
   * the negated logarithms. Over {@link Scope#SEQUENCE_MEAN} it is the geometric mean ([0.999,
   * 1.001] in verl {@code geo_rs}, [0.999, 1.002] in NeMo-RL, [0.99, 1.01] in SkyRL), over {@link
   * Scope#SEQUENCE_SUM} the product (SkyRL [0.5, 2]).
   *
   * @param scope what is tested
   * @param low lower bound of the ratio; 0 for none
   * @param high upper bound of the ratio; infinity for none
   * @return the test
   * @throws IllegalArgumentException if {@code low} is negative, not at most {@code high}, or the
   *     scope is {@link Scope#SEQUENCE_MAX}, for which k1 has no such meaning
   */
  public static Rejection ofRatio(Scope scope, double low, double high) {
    Check.notNegative("ratio: low", low);
    Check.range("ratio", low, high);
    if (scope == Scope.SEQUENCE_MAX) {
      throw new IllegalArgumentException("scope: SEQUENCE_MAX tests an estimate, not a ratio");
    }
    return new Rejection(KlEstimator.K1, scope, -Math.log(high), -Math.log(low));
  }

  boolean passes(double statistic) {
    return statistic >= low && statistic <= high;
  }
}
