package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import java.util.Objects;

/**
 * What {@link TokenReturns} reads: a reward per token, where the sequences are, and what belongs to
 * them.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class TokenReturnsInput {
  private final Floats rewards;
  private final Longs offsets;
  private final Floats values;
  private final Bytes mask;
  private final Floats bootstrap;
  private final Floats sequenceLambda;

  private TokenReturnsInput(
      Floats rewards,
      Longs offsets,
      Floats values,
      Bytes mask,
      Floats bootstrap,
      Floats sequenceLambda) {
    this.rewards = Objects.requireNonNull(rewards, "rewards");
    this.offsets = Objects.requireNonNull(offsets, "offsets");
    this.values = values;
    this.mask = mask;
    this.bootstrap = bootstrap;
    this.sequenceLambda = sequenceLambda;
    if (offsets.size() < 1) {
      throw new IllegalArgumentException(
          "offsets: there are none; even no sequences need the one offset 0");
    }
  }

  /**
   * Rewards of tokens, sequences one after the other.
   *
   * @param rewards f32, one per token
   * @param offsets {@code [sequences + 1]} where each sequence starts, from 0, and the number of
   *     tokens
   * @return the input
   * @throws IllegalArgumentException if there is not even one offset
   */
  public static TokenReturnsInput of(Floats rewards, Longs offsets) {
    return new TokenReturnsInput(rewards, offsets, null, null, null, null);
  }

  /**
   * Adds the value model's estimates, which {@link TokenReturns#gae} needs.
   *
   * @param values f32, one per token: the return expected from before the token on
   * @return the input with them
   */
  public TokenReturnsInput withValues(Floats values) {
    return new TokenReturnsInput(
        rewards,
        offsets,
        Objects.requireNonNull(values, "values"),
        mask,
        bootstrap,
        sequenceLambda);
  }

  /**
   * Passes over tokens, such as what a tool answered: they get 0, are not read, and neither
   * discount nor lambda applies to them.
   *
   * @param mask one byte per token, 0 = pass over
   * @return the input with it
   */
  public TokenReturnsInput withMask(Bytes mask) {
    return new TokenReturnsInput(
        rewards, offsets, values, Objects.requireNonNull(mask, "mask"), bootstrap, sequenceLambda);
  }

  /**
   * Adds the value after the last token of each sequence, for sequences that were cut off; 0 unless
   * given, which is right for those that ended.
   *
   * @param bootstrap f32, one per sequence
   * @return the input with it
   */
  public TokenReturnsInput withBootstrap(Floats bootstrap) {
    return new TokenReturnsInput(
        rewards,
        offsets,
        values,
        mask,
        Objects.requireNonNull(bootstrap, "bootstrap"),
        sequenceLambda);
  }

  /**
   * Gives each sequence a lambda of its own for its advantages.
   *
   * @param sequenceLambda f32, one per sequence, within [0, 1]
   * @return the input with it
   */
  public TokenReturnsInput withSequenceLambda(Floats sequenceLambda) {
    return new TokenReturnsInput(
        rewards,
        offsets,
        values,
        mask,
        bootstrap,
        Objects.requireNonNull(sequenceLambda, "sequenceLambda"));
  }

  Floats rewards() {
    return rewards;
  }

  Longs offsets() {
    return offsets;
  }

  Floats values() {
    return values;
  }

  Bytes mask() {
    return mask;
  }

  Floats bootstrap() {
    return bootstrap;
  }

  Floats sequenceLambda() {
    return sequenceLambda;
  }
}
