package dev.polka.kernel;

import dev.polka.memory.Floats;
import java.util.Objects;

/**
 * Returns and, where there are values, advantages, one per token.
 *
 * <p>Belongs to one thread at a time. Closing frees what Polka allocated.
 */
public final class TokenReturnsResult implements AutoCloseable {
  private final Floats returns;
  private final Floats advantages;
  private final boolean owned;

  TokenReturnsResult(Floats returns, Floats advantages, boolean owned) {
    this.returns = Objects.requireNonNull(returns, "returns");
    this.advantages = advantages;
    this.owned = owned;
  }

  /**
   * Room for returns and advantages, where the rewards lie.
   *
   * @param rewards the rewards that will be read
   * @return a result that owns its memory; close it
   */
  public static TokenReturnsResult allocate(Floats rewards) {
    Floats returns = Floats.allocate(rewards.placement(), rewards.size());
    Floats advantages = Floats.allocate(rewards.placement(), rewards.size());
    return new TokenReturnsResult(returns, advantages, true);
  }

  /**
   * Memory that the caller has.
   *
   * @param returns f32, one per token
   * @param advantages f32, one per token, or null for none
   * @return a result that owns nothing
   */
  public static TokenReturnsResult of(Floats returns, Floats advantages) {
    return new TokenReturnsResult(returns, advantages, false);
  }

  /**
   * The returns: for {@link TokenReturns#gae} the targets of the value model.
   *
   * @return one per token, 0 where masked
   */
  public Floats returns() {
    return returns;
  }

  /**
   * The advantages.
   *
   * @return one per token, 0 where masked
   * @throws IllegalStateException if the result has none
   */
  public Floats advantages() {
    if (advantages == null) {
      throw new IllegalStateException(
          "TokenReturnsResult: has no advantages; TokenReturns.gae makes them");
    }
    return advantages;
  }

  /** Frees the memory that Polka allocated. */
  @Override
  public void close() {
    if (owned) {
      returns.close();
      if (advantages != null) {
        advantages.close();
      }
    }
  }
}
