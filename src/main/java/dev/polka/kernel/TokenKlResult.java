package dev.polka.kernel;

import dev.polka.memory.Floats;
import java.util.Objects;

/**
 * KL estimates and their gradient, one per token.
 *
 * <p>Belongs to one thread at a time. Closing frees what Polka allocated.
 */
public final class TokenKlResult implements AutoCloseable {
  private final Floats kl;
  private final Floats gradient;
  private final boolean owned;

  TokenKlResult(Floats kl, Floats gradient, boolean owned) {
    this.kl = Objects.requireNonNull(kl, "kl");
    this.gradient = gradient;
    this.owned = owned;
  }

  /**
   * Room for estimates and gradient, where the log-probs lie.
   *
   * @param logProb the log-probs that will be read
   * @return a result that owns its memory; close it
   */
  public static TokenKlResult allocate(Floats logProb) {
    Floats kl = Floats.allocate(logProb.placement(), logProb.size());
    return new TokenKlResult(kl, Floats.allocate(logProb.placement(), logProb.size()), true);
  }

  /**
   * Memory that the caller has.
   *
   * @param kl f32, one per token
   * @param gradient f32, one per token, or null for none
   * @return a result that owns nothing
   */
  public static TokenKlResult of(Floats kl, Floats gradient) {
    return new TokenKlResult(kl, gradient, false);
  }

  /**
   * The estimates; 0 for tokens that are skipped.
   *
   * @return one per token
   */
  public Floats kl() {
    return kl;
  }

  /**
   * The gradient for the policy's log-probs, multiplied by the upstream gradient.
   *
   * @return one per token
   * @throws IllegalStateException if the result has none
   */
  public Floats gradient() {
    if (gradient == null) {
      throw new IllegalStateException("TokenKlResult: has no gradient; forwardBackward makes one");
    }
    return gradient;
  }

  Floats gradientOrNull() {
    return gradient;
  }

  /** Frees the memory that Polka allocated. */
  @Override
  public void close() {
    if (owned) {
      kl.close();
      if (gradient != null) {
        gradient.close();
      }
    }
  }
}
