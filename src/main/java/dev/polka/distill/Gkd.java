package dev.polka.distill;

import dev.polka.kernel.Divergence;
import dev.polka.kernel.Normalizer;

/**
 * Generalised knowledge distillation: a divergence between student and teacher on responses of
 * which some are the student's own.
 *
 * <pre>{@code
 * beta 0         KL(teacher || student)
 * beta 1         KL(student || teacher)
 * in between     beta KL(teacher || m) + (1 - beta) KL(student || m),
 *                m = beta teacher + (1 - beta) student
 * }</pre>
 *
 * <p>both at a temperature. The defaults are TRL's: beta 0.5, temperature 0.9, half of the batches
 * on-policy, no factor of temperature squared. The mixture goes to neither KL at its ends but to 0;
 * the two ends are cases of their own, as in TRL.
 *
 * <pre>{@code
 * Gkd gkd = Gkd.of(0.5f);
 * gkd.divergence().forwardBackward(student, teacher, rows, gkd.normalizer(tokensOfTheStep));
 * }</pre>
 *
 * <p>Source: Agarwal et al. 2024; TRL {@code GKDTrainer} ({@code beta}, {@code temperature}, {@code
 * lmbda}). TRL's {@code DistillationTrainer} has beta 1.
 *
 * <p>Immutable and thread-safe.
 */
public final class Gkd {
  private final float beta;
  private final float temperature;
  private final double onPolicyShare;
  private final boolean temperatureSquared;
  private final Divergence divergence;

  private Gkd(float beta, float temperature, double onPolicyShare, boolean temperatureSquared) {
    this.beta = beta;
    this.temperature = temperature;
    this.onPolicyShare = onPolicyShare;
    this.temperatureSquared = temperatureSquared;
    this.divergence = kind(beta).withTemperature(temperature);
  }

  private static Divergence kind(float beta) {
    if (beta == 0) {
      return Divergence.forwardKl();
    }
    return beta == 1 ? Divergence.reverseKl() : Divergence.jsd(beta);
  }

  /**
   * The method with a divergence, and TRL's defaults for the rest.
   *
   * @param beta the teacher's share of the mixture; 0.5 in TRL
   * @return the method
   * @throws IllegalArgumentException if {@code beta} is outside [0, 1]
   */
  public static Gkd of(float beta) {
    Check.unit("beta", beta);
    return new Gkd(beta, 0.9f, 0.5, false);
  }

  /**
   * Divides both models' logits.
   *
   * @param temperature the temperature; 0.9 unless set
   * @return the method with it
   * @throws IllegalArgumentException if {@code temperature} is not finite and >= {@link
   *     Float#MIN_NORMAL}
   */
  public Gkd withTemperature(float temperature) {
    return new Gkd(beta, temperature, onPolicyShare, temperatureSquared);
  }

  /**
   * Sets how many batches the student writes itself ({@code lmbda}).
   *
   * @param share 0 for none, 1 for all; 0.5 unless set
   * @return the method with it
   * @throws IllegalArgumentException if {@code share} is outside [0, 1]
   */
  public Gkd withOnPolicyShare(double share) {
    return new Gkd(beta, temperature, Check.unit("onPolicyShare", share), temperatureSquared);
  }

  /**
   * Multiplies the loss by the temperature squared (Hinton et al. 2015), so that its gradient keeps
   * its size when the temperature rises.
   *
   * @return the method with it
   */
  public Gkd withTemperatureSquared() {
    return new Gkd(beta, temperature, onPolicyShare, true);
  }

  /** {@return the divergence, at the temperature; its values lack the factor T^2} */
  public Divergence divergence() {
    return divergence;
  }

  /**
   * The mean over tokens of the step, times the temperature squared where that is asked for.
   *
   * @param tokens tokens that count, in the whole step
   * @return the normalizer of loss and gradient
   * @throws IllegalArgumentException if {@code tokens} is negative
   */
  public Normalizer normalizer(long tokens) {
    if (!temperatureSquared) {
      return Normalizer.tokens(tokens);
    }
    return Normalizer.constant(tokens / ((double) temperature * temperature));
  }

  /**
   * Decides whether the student writes a batch.
   *
   * @param draw a uniform random number in [0, 1), one per batch, the same in all processes
   * @return {@code draw < share}: never at share 0, always at 1
   * @throws IllegalArgumentException if {@code draw} is not in [0, 1)
   */
  public boolean onPolicy(double draw) {
    if (!(draw >= 0 && draw < 1)) {
      throw new IllegalArgumentException("draw: " + draw + " is not in [0, 1)");
    }
    return draw < onPolicyShare;
  }

  /** {@return the options} */
  @Override
  public String toString() {
    return "beta "
        + beta
        + ", temperature "
        + temperature
        + ", on-policy "
        + onPolicyShare
        + (temperatureSquared ? ", times T^2" : "");
  }
}
