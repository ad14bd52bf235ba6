package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.TokenReturnsStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Floats;
import java.nio.ByteBuffer;

/**
 * Returns of tokens, and advantages where a value model has estimated them. Backwards over the
 * tokens of a sequence that are not masked, with t' the next of them, and 0 or the bootstrap value
 * after the last:
 *
 * <pre>{@code
 * discounted   returns_t    = r_t + gamma returns_t'
 * GAE          delta_t      = r_t + gamma V_t' - V_t
 *              advantages_t = delta_t + gamma lambda advantages_t'
 *              returns_t    = V_t + (the same with the value lambda)_t
 * }</pre>
 *
 * <p>A masked token is passed over: a tool's answer between two turns neither ends the sum nor is
 * discounted (verl, NeMo-RL, AReaL; SkyRL, ROLL and OpenRLHF read the value of the masked token
 * there). It gets 0. Sums are f64 within a sequence, results f32 and the same whatever the threads
 * and the other sequences. A NaN reaches the tokens before it in its sequence and no others.
 *
 * <p>Sources: Schulman et al. 2016 (GAE); Yuan et al. 2025 (VC-PPO: two lambdas); Yue et al. 2025
 * (VAPO: a lambda that grows with the length).
 *
 * <p>Immutable and thread-safe.
 */
public final class TokenReturns {
  private final boolean usesValues;
  private final double gamma;
  private final double lambda;
  private final double valueLambda;
  private final double lengthAlpha;

  private TokenReturns(
      boolean usesValues, double gamma, double lambda, double valueLambda, double lengthAlpha) {
    this.usesValues = usesValues;
    this.gamma = Require.unit("gamma", gamma);
    this.lambda = Require.unit("lambda", lambda);
    this.valueLambda = Require.unit("valueLambda", valueLambda);
    this.lengthAlpha = Require.notNegative("alpha", lengthAlpha);
  }

  /**
   * Discounted sums of what follows; with 1 plain sums, the reward to go.
   *
   * @param gamma the discount, within [0, 1]; 1 in every system unless set
   * @return the operation
   * @throws IllegalArgumentException if {@code gamma} is outside [0, 1]
   */
  public static TokenReturns discounted(double gamma) {
    return new TokenReturns(false, gamma, 1, 1, 0);
  }

  /**
   * Generalized advantage estimation.
   *
   * @param gamma the discount, within [0, 1]; 1 in every system unless set
   * @param lambda within [0, 1]: 0 trusts the next value, 1 the rewards alone; 1 in verl and
   *     NeMo-RL, 0.95 in ROLL. Also that of the returns, unless they get another
   * @return the operation
   * @throws IllegalArgumentException if one of them is outside [0, 1]
   */
  public static TokenReturns gae(double gamma, double lambda) {
    return new TokenReturns(true, gamma, lambda, lambda, 0);
  }

  /**
   * Gives the targets of the value model a lambda of their own (decoupled GAE: 1 in VC-PPO and
   * VAPO, so that the targets are unbiased). For {@link #gae}.
   *
   * @param valueLambda within [0, 1]
   * @return the operation with it
   * @throws IllegalArgumentException if it is outside [0, 1]
   */
  public TokenReturns withValueLambda(double valueLambda) {
    return new TokenReturns(usesValues, gamma, lambda, valueLambda, lengthAlpha);
  }

  /**
   * Lets the lambda of the advantages grow with the length: {@code 1 - 1 / max(alpha n, 1)} for a
   * sequence of n tokens that are not masked (VAPO). For {@link #gae}, in place of its lambda.
   *
   * @param alpha the horizon as a share of the length; 0.05 in VAPO; 0 turns it off
   * @return the operation with it
   * @throws IllegalArgumentException if {@code alpha} is negative or not finite
   */
  public TokenReturns withLengthAdaptiveLambda(double alpha) {
    return new TokenReturns(usesValues, gamma, lambda, valueLambda, alpha);
  }

  /**
   * Computes returns, and advantages where the operation is {@link #gae}.
   *
   * @param input rewards and what belongs to them
   * @return the result; close it
   * @throws IllegalArgumentException if the parts of the input do not fit each other, or values are
   *     missing or not wanted
   * @throws IllegalArgumentException if offsets fall or a lambda is outside [0, 1]
   */
  public TokenReturnsResult forward(TokenReturnsInput input) {
    Floats rewards = input.rewards();
    TokenReturnsResult out =
        usesValues
            ? TokenReturnsResult.allocate(rewards)
            : new TokenReturnsResult(
                Floats.allocate(rewards.placement(), rewards.size()), null, true);
    try {
      forward(input, out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Computes into memory that exists. Allocates nothing.
   *
   * @param input rewards and what belongs to them
   * @param out written; its advantages, if any, only by {@link #gae}
   * @throws IllegalArgumentException if input and {@code out} do not fit each other or overlap, or
   *     values are missing or not wanted
   * @throws IllegalStateException if {@code out} has no advantages where the operation is {@link
   *     #gae}
   * @throws IllegalArgumentException if offsets fall or a lambda is outside [0, 1]
   */
  public void forward(TokenReturnsInput input, TokenReturnsResult out) {
    requireValues(input);
    long count = input.rewards().size();
    long sequences = input.offsets().size() - 1;
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(TokenReturnsStruct.SIZE);
      call.in("rewards", input.rewards(), count, TokenReturnsStruct.REWARDS);
      call.in("offsets", input.offsets(), sequences + 1, TokenReturnsStruct.OFFSETS);
      call.in("values", input.values(), count, TokenReturnsStruct.VALUES);
      call.in("mask", input.mask(), count, TokenReturnsStruct.MASK);
      call.in("bootstrap", input.bootstrap(), sequences, TokenReturnsStruct.BOOTSTRAP);
      call.in(
          "sequenceLambda", input.sequenceLambda(), sequences, TokenReturnsStruct.SEQUENCE_LAMBDA);
      if (usesValues) {
        call.out("advantages", out.advantages(), count, TokenReturnsStruct.ADVANTAGES);
      }
      call.out("returns", out.returns(), count, TokenReturnsStruct.RETURNS);
      struct.putLong(TokenReturnsStruct.COUNT, count);
      struct.putLong(TokenReturnsStruct.SEQUENCES, sequences);
      struct.putDouble(TokenReturnsStruct.GAMMA, gamma);
      struct.putDouble(TokenReturnsStruct.LAMBDA, lambda);
      struct.putDouble(TokenReturnsStruct.VALUE_LAMBDA, valueLambda);
      struct.putDouble(TokenReturnsStruct.LENGTH_ALPHA, lengthAlpha);
      call.exec(0);
      int status = PolkaNative.polka_token_returns(call.tokenReturns());
      NativeStatus.check(status, input.rewards().device());
      call.completed();
    } finally {
      call.exit();
    }
  }

  private void requireValues(TokenReturnsInput input) {
    if (usesValues && input.values() == null) {
      throw new IllegalArgumentException(
          "values: are missing; generalized advantage estimation compares rewards with them");
    }
    if (!usesValues && input.values() != null) {
      throw new IllegalArgumentException(
          "values: were given, and discounted returns do not use them; gae does");
    }
    if (lengthAlpha > 0 && input.sequenceLambda() != null) {
      throw new IllegalArgumentException(
          "sequenceLambda: was given beside the length-adaptive lambda, which takes its place");
    }
  }
}
