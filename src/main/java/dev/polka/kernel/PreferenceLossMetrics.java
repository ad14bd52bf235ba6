package dev.polka.kernel;

import dev.polka.kernel.internal.PreferenceLossMetricsStruct;
import dev.polka.memory.Doubles;

/**
 * What to watch when learning from preferences; in brackets TRL's names. u is beta (score -
 * reference), the reward that the policy implies. Sums, so that micro-batches add up ({@link
 * #plus}).
 *
 * @param loss the loss
 * @param pairs pairs of a better and a worse response; KTO: responses
 * @param correct those whose better response has the larger u; KTO: responses on their side of the
 *     reference point
 * @param marginSum sum of the u of the better response less that of the worse; KTO: of u, negated
 *     where undesirable
 * @param chosenSum sum of the u of better responses; KTO: of desirable ones
 * @param rejectedSum sum of the u of worse responses; KTO: of undesirable ones
 * @param nonFiniteGroups groups whose loss is NaN or infinite; KTO: responses
 * @param firstNonFiniteGroup the lowest of them in its micro-batch, or -1
 */
public record PreferenceLossMetrics(
    double loss,
    long pairs,
    long correct,
    double marginSum,
    double chosenSum,
    double rejectedSum,
    long nonFiniteGroups,
    long firstNonFiniteGroup) {
  static final int FIELDS = PreferenceLossMetricsStruct.SIZE / Double.BYTES;

  static PreferenceLossMetrics read(Doubles struct) {
    double[] f = struct.toArray();
    return new PreferenceLossMetrics(
        f[PreferenceLossMetricsStruct.LOSS / Double.BYTES],
        (long) f[PreferenceLossMetricsStruct.PAIRS / Double.BYTES],
        (long) f[PreferenceLossMetricsStruct.CORRECT / Double.BYTES],
        f[PreferenceLossMetricsStruct.MARGIN_SUM / Double.BYTES],
        f[PreferenceLossMetricsStruct.CHOSEN_SUM / Double.BYTES],
        f[PreferenceLossMetricsStruct.REJECTED_SUM / Double.BYTES],
        (long) f[PreferenceLossMetricsStruct.NON_FINITE_UNITS / Double.BYTES],
        (long) f[PreferenceLossMetricsStruct.FIRST_NON_FINITE_UNIT / Double.BYTES]);
  }

  /**
   * {@return the share of pairs that are ranked correctly [rewards/accuracies]; 0 without pairs}
   */
  public double accuracy() {
    return mean(correct);
  }

  /** {@return the mean margin of u [rewards/margins]; 0 without pairs} */
  public double margin() {
    return mean(marginSum);
  }

  /** {@return the mean u of better responses over pairs [rewards/chosen]; 0 without pairs} */
  public double chosen() {
    return mean(chosenSum);
  }

  /** {@return the mean u of worse responses over pairs [rewards/rejected]; 0 without pairs} */
  public double rejected() {
    return mean(rejectedSum);
  }

  private double mean(double sum) {
    return pairs == 0 ? 0 : sum / pairs;
  }

  /**
   * {@return the metrics of two micro-batches of a step together}
   *
   * @param other those of the other one
   */
  public PreferenceLossMetrics plus(PreferenceLossMetrics other) {
    return new PreferenceLossMetrics(
        loss + other.loss,
        pairs + other.pairs,
        correct + other.correct,
        marginSum + other.marginSum,
        chosenSum + other.chosenSum,
        rejectedSum + other.rejectedSum,
        nonFiniteGroups + other.nonFiniteGroups,
        firstNonFiniteGroup >= 0 ? firstNonFiniteGroup : other.firstNonFiniteGroup);
  }
}
