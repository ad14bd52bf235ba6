package dev.polka.distill;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;

/**
 * The returns of MiniLLM: what the rest of a response is worth to the teacher, as the advantage of
 * a policy loss.
 *
 * <pre>{@code
 * A_t = sum_{k >= t} gamma^(k - t) (T_k - S_k)  /  sum_{k >= t} gamma^(k - t)
 * }</pre>
 *
 * <p>over the tokens of the sequence that count, by position among those. The denominator keeps
 * long responses from being paid for their length; {@link #withoutLengthNormalization} drops it.
 * With gamma 0, TRL's default, each token answers for itself; the paper has 1. The paper's other
 * part, the gradient of a single step, is {@code Divergence.reverseKl()} over the same rows.
 *
 * <p>Source: Gu et al. 2024; TRL {@code MiniLLMTrainer}. TRL differs: its advantages are not
 * detached, and its mask lets padding in; here they are constants and the mask holds. Without
 * normalisation TRL's sums keep a factor gamma^t, by which late tokens count for less.
 *
 * <p>Immutable and thread-safe.
 */
public final class MiniLlm {
  private final double gamma;
  private final boolean normalized;

  private MiniLlm(double gamma, boolean normalized) {
    this.gamma = gamma;
    this.normalized = normalized;
  }

  /**
   * Length-normalised returns.
   *
   * @param gamma the discount per token; TRL 0, the paper 1
   * @return the method
   * @throws IllegalArgumentException if {@code gamma} is outside [0, 1]
   */
  public static MiniLlm of(double gamma) {
    return new MiniLlm(Check.unit("gamma", gamma), true);
  }

  /** {@return the method with plain sums} */
  public MiniLlm withoutLengthNormalization() {
    return new MiniLlm(gamma, false);
  }

  /**
   * Computes returns.
   *
   * @param layout the tokens
   * @param student log-probs of the sampled tokens, one per row
   * @param teacher the same under the teacher
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if sizes do not fit the layout, or a log-prob that counts is
   *     not finite
   */
  public double[] advantages(TokenLayout layout, double[] student, double[] teacher) {
    double[] returns =
        SampledTokens.discountedFuture(layout, SampledTokens.gaps(layout, student, teacher), gamma);
    if (normalized) {
      double[] ones = new double[layout.rows()];
      Arrays.fill(ones, 1);
      double[] lengths = SampledTokens.discountedFuture(layout, ones, gamma);
      for (int row = 0; row < returns.length; row++) {
        returns[row] = layout.counts(row) ? returns[row] / lengths[row] : 0;
      }
    }
    return returns;
  }

  /** {@return the options} */
  @Override
  public String toString() {
    return "gamma " + gamma + (normalized ? ", length-normalised" : "");
  }
}
