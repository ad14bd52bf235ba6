package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import java.util.Objects;

/**
 * What {@link TokenKl} reads: one value per token in each part.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class TokenKlInput {
  private final Floats logProb;
  private final Floats reference;
  private final Floats old;
  private final Bytes mask;
  private final Floats upstream;

  private TokenKlInput(Floats logProb, Floats reference, Floats old, Bytes mask, Floats upstream) {
    this.logProb = Objects.requireNonNull(logProb, "logProb");
    this.reference = Objects.requireNonNull(reference, "reference");
    this.old = old;
    this.mask = mask;
    this.upstream = upstream;
  }

  /**
   * The two vectors of log-probs.
   *
   * @param logProb log-probs under the policy
   * @param reference log-probs of the same tokens under the reference
   * @return the input
   */
  public static TokenKlInput of(Floats logProb, Floats reference) {
    return new TokenKlInput(logProb, reference, null, null, null);
  }

  /**
   * Adds log-probs under the policy that sampled, for {@link KlGradient#IMPORTANCE_WEIGHTED}.
   *
   * @param old one per token
   * @return the input with them
   */
  public TokenKlInput withOld(Floats old) {
    return new TokenKlInput(logProb, reference, Objects.requireNonNull(old, "old"), mask, upstream);
  }

  /**
   * Skips tokens: value and gradient 0, inputs not read.
   *
   * @param mask one byte per token, 0 = skip
   * @return the input with it
   */
  public TokenKlInput withMask(Bytes mask) {
    return new TokenKlInput(
        logProb, reference, old, Objects.requireNonNull(mask, "mask"), upstream);
  }

  /**
   * Multiplies each token's gradient.
   *
   * @param upstream the gradient of the loss for each estimate; ones if it is not given
   * @return the input with it
   */
  public TokenKlInput withUpstream(Floats upstream) {
    return new TokenKlInput(
        logProb, reference, old, mask, Objects.requireNonNull(upstream, "upstream"));
  }

  Floats logProb() {
    return logProb;
  }

  Floats reference() {
    return reference;
  }

  Floats old() {
    return old;
  }

  Bytes mask() {
    return mask;
  }

  Floats upstream() {
    return upstream;
  }
}
