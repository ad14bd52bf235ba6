package dev.polka.policy;

import dev.polka.kernel.EpsilonPlacement;
import dev.polka.kernel.Std;
import dev.polka.kernel.TokenLayout;
import java.util.Objects;

/**
 * Gives values mean 0 and variance 1 over all rows that count:
 *
 * <pre>{@code (x - mean) / sqrt(var + epsilon)}</pre>
 *
 * <p>A statistic of the whole step: {@link Moments} can be merged from its parts. Values that are
 * all equal give exactly 0, and so does a single one (verl raises there, ROLL leaves it as it is).
 * Without an epsilon, a variance of 0 divides nothing. Rows that do not count get 0 (verl's GAE and
 * NeMo-RL leave {@code -mean / std} there).
 *
 * <table>
 * <caption>How others whiten</caption>
 * <tr><td>verl, SkyRL, ROLL</td><td>{@code unbiased()}: over n - 1, 1e-8 in the root</td></tr>
 * <tr><td>slime</td><td>the same, from single-precision sums of squares</td></tr>
 * <tr><td>OpenRLHF, NeMo-RL</td><td>{@code biased().withVarianceFloor(1e-8)}</td></tr>
 * <tr><td>AReaL</td><td>{@code biased().withEpsilon(1e-5, OUTSIDE)}</td></tr>
 * <tr><td>TRL (RLOO)</td><td>{@code unbiased().withEpsilon(1e-4, OUTSIDE)}, over sequences</td></tr>
 * </table>
 *
 * <p>Immutable and thread-safe.
 */
public final class Whitening {
  private final Std std;
  private final double epsilon;
  private final EpsilonPlacement placement;
  private final double varianceFloor;
  private final boolean centers;

  private Whitening(
      Std std, double epsilon, EpsilonPlacement placement, double varianceFloor, boolean centers) {
    this.std = std;
    this.epsilon = Check.notNegative("epsilon", epsilon);
    this.placement = Objects.requireNonNull(placement, "placement");
    this.varianceFloor = Check.notNegative("varianceFloor", varianceFloor);
    this.centers = centers;
  }

  /** {@return whitening by the variance over n - 1, with 1e-8 in the root} */
  public static Whitening unbiased() {
    return new Whitening(Std.UNBIASED, 1e-8, EpsilonPlacement.IN_SQRT, 0, true);
  }

  /** {@return whitening by the variance over n, with 1e-8 in the root} */
  public static Whitening biased() {
    return new Whitening(Std.BIASED, 1e-8, EpsilonPlacement.IN_SQRT, 0, true);
  }

  /**
   * Chooses the constant that keeps the division away from 0.
   *
   * @param epsilon the constant
   * @param placement {@code sqrt(var + epsilon)} or {@code sqrt(var) + epsilon}
   * @return whitening with it
   * @throws IllegalArgumentException if {@code epsilon} is negative or not finite
   */
  public Whitening withEpsilon(double epsilon, EpsilonPlacement placement) {
    return new Whitening(std, epsilon, placement, varianceFloor, centers);
  }

  /**
   * Takes a variance below a floor as the floor, in place of an epsilon (OpenRLHF, NeMo-RL: 1e-8).
   *
   * @param varianceFloor the least variance
   * @return whitening with it, and without epsilon
   * @throws IllegalArgumentException if the floor is negative or not finite
   */
  public Whitening withVarianceFloor(double varianceFloor) {
    return new Whitening(std, 0, placement, varianceFloor, centers);
  }

  /**
   * Divides without moving the mean to 0 (the {@code shift_mean=False} of several systems).
   *
   * @return whitening that keeps the mean's sign
   */
  public Whitening withoutCentering() {
    return new Whitening(std, epsilon, placement, varianceFloor, false);
  }

  /**
   * Whitens by the moments of the values themselves.
   *
   * @param layout which rows count
   * @param values one per row; those that do not count are not read
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if there is not one value per row
   */
  public double[] forward(TokenLayout layout, double... values) {
    return forward(layout, values, Moments.of(layout, values));
  }

  /**
   * Whitens by moments that may be of more values than these.
   *
   * @param layout which rows count
   * @param values one per row; those that do not count are not read
   * @param moments mean and variance to whiten by
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if there is not one value per row
   */
  public double[] forward(TokenLayout layout, double[] values, Moments moments) {
    layout.requireRows("values", values.length);
    double divisor = divisor(moments);
    double[] white = new double[values.length];
    for (int row = 0; row < white.length; row++) {
      if (layout.counts(row)) {
        double centered = values[row] - (centers ? moments.mean() : 0);
        white[row] = divisor == 0 ? centered : centered / divisor;
      }
    }
    return white;
  }

  /** Whitens numbers of sequences; by their own moments where none are given. NaN becomes 0. */
  double[] overNumbers(double[] numbers, Moments moments) {
    TokenLayout present = RewardBatch.present(numbers);
    return forward(present, numbers, moments == null ? Moments.of(present, numbers) : moments);
  }

  private double divisor(Moments moments) {
    double variance = std == Std.BIASED ? moments.biasedVariance() : moments.unbiasedVariance();
    double held = Math.max(variance, varianceFloor);
    return placement == EpsilonPlacement.IN_SQRT
        ? Math.sqrt(held + epsilon)
        : Math.sqrt(held) + epsilon;
  }
}
