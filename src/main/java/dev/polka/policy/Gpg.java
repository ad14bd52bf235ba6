package dev.polka.policy;

import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Singleton;
import java.util.Arrays;
import java.util.Objects;

/**
 * GPG, group policy gradient (Chu et al. 2025): centred by the mean of the group, and scaled up
 * where few answers of the step have a reward at all, so that sparse rewards do not make small
 * steps.
 *
 * <pre>{@code
 * A_i = alpha (R_i - mean) / f_norm
 * alpha = answers of the step / max(answers with a reward other than 0, 1)
 * }</pre>
 *
 * <p>alpha is a statistic of the whole step; {@link #withCounts} takes it where a batch is a part
 * of one. verl computes it on each call, and keeps the raw reward of singletons: {@code
 * withSingleton(Singleton.RAW)}.
 *
 * <p>Immutable and thread-safe.
 */
public final class Gpg implements AdvantageEstimator {
  private final GroupAdvantage group;
  private final double norm;
  private final Counts step; // null: of the batch

  private record Counts(long answers, long rewarded) {}

  private Gpg(GroupAdvantage group, double norm, Counts step) {
    this.group = group;
    this.norm = norm;
    this.step = step;
  }

  /** {@return the estimator, with f_norm 1 and singletons at 0} */
  public static Gpg standard() {
    return new Gpg(GroupAdvantage.drGrpo(), 1, null);
  }

  /**
   * Divides all advantages by a number (verl {@code f_norm}, 1).
   *
   * @param norm finite and above 0
   * @return the estimator with it
   * @throws IllegalArgumentException if {@code norm} is not finite and above 0
   */
  public Gpg withNorm(double norm) {
    return new Gpg(group, Check.positive("norm", norm), step);
  }

  /**
   * Chooses what a group with one reward gets.
   *
   * @param singleton the policy
   * @return the estimator with it
   */
  public Gpg withSingleton(Singleton singleton) {
    Objects.requireNonNull(singleton, "singleton");
    return new Gpg(group.withSingleton(singleton), norm, step);
  }

  /**
   * Gives the counts of the whole step, where the batch is a part of it.
   *
   * @param answers answers of the step that have a reward, 0 included
   * @param rewarded those among them whose reward is not 0
   * @return the estimator with it
   * @throws IllegalArgumentException if not 0 &lt;= rewarded &lt;= answers
   */
  public Gpg withCounts(long answers, long rewarded) {
    if (rewarded < 0 || rewarded > answers) {
      throw new IllegalArgumentException(
          "rewarded: " + rewarded + " is outside [0, " + answers + "], the number of answers");
    }
    return new Gpg(group, norm, new Counts(answers, rewarded));
  }

  @Override
  public Advantages forward(RewardBatch batch) {
    double[] outcomes = batch.outcomes();
    Counts counts = step == null ? count(outcomes) : step;
    double alpha = counts.answers() / (double) Math.max(counts.rewarded(), 1);
    double[] centered = OutcomeAdvantage.compare(group, batch, outcomes);
    double[] scaled = Arrays.stream(centered).map(a -> alpha * a / norm).toArray();
    return new Advantages(batch.rewarded(), batch.layout().spread(scaled), null);
  }

  private static Counts count(double[] outcomes) {
    long answers = Arrays.stream(outcomes).filter(r -> !Double.isNaN(r)).count();
    return new Counts(answers, Arrays.stream(outcomes).filter(r -> r != 0 && r == r).count());
  }
}
