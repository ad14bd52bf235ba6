package dev.polka.distill;

import dev.polka.kernel.TokenLayout;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * Chooses the tokens to distill from: those where the student is unsure and disagrees with the
 * teacher.
 *
 * <pre>{@code score_t = entropy_t divergence_t}</pre>
 *
 * <p>The tokens with the largest scores stay, over the whole batch: the nearest whole number to
 * {@code share} times the tokens that count, at least one. Equal scores go to the lower row, so the
 * choice is a function of its inputs.
 *
 * <p>Entropy and divergence are those of {@code DivergenceResult.studentEntropy()} and {@code
 * value()}. Source: the two axes of TIP, Xu et al. 2026, who keep half of the tokens, or a tenth.
 * The product leaves out tokens about which the student is sure and wrong; TIP also has a score
 * that keeps those.
 *
 * <p>Immutable and thread-safe.
 *
 * @param share the share of tokens that stay
 */
public record TokenSelection(double share) {
  /**
   * Checks the share.
   *
   * @param share see the record
   * @throws IllegalArgumentException if it is not in (0, 1]
   */
  public TokenSelection {
    if (!(share > 0 && share <= 1)) {
      throw new IllegalArgumentException("share: " + share + " is not in (0, 1]");
    }
  }

  /**
   * Chooses tokens.
   *
   * @param layout the tokens
   * @param entropy the student's entropy, one per row
   * @param divergence between student and teacher, one per row
   * @return a mask, one per row, for {@link TokenLayout#keeping}
   * @throws IllegalArgumentException if sizes do not fit the layout, or what counts is not finite
   *     and >= 0
   */
  public boolean[] select(TokenLayout layout, double[] entropy, double[] divergence) {
    double[] scores = scores(layout, entropy, divergence);
    boolean[] kept = new boolean[scores.length];
    IntStream.range(0, scores.length)
        .filter(layout::counts)
        .boxed()
        .sorted(Comparator.<Integer>comparingDouble(row -> -scores[row]))
        .limit(Math.max(Math.round(share * layout.tokens()), 1))
        .forEach(row -> kept[row] = true);
    return kept;
  }

  private static double[] scores(TokenLayout layout, double[] entropy, double[] divergence) {
    layout.requireRows("entropy", entropy.length);
    layout.requireRows("divergence", divergence.length);
    double[] scores = new double[layout.rows()];
    for (int row = 0; row < scores.length; row++) {
      if (layout.counts(row)) {
        scores[row] =
            Check.notNegative("entropy of row " + row, entropy[row])
                * Check.notNegative("divergence of row " + row, divergence[row]);
      }
    }
    return scores;
  }
}
