package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.TokenKlStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Floats;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * An estimate of the KL divergence to a reference policy for each sampled token, from two vectors
 * of log-probs, and its gradient for the policy's.
 *
 * <p>{@code d = log_prob - reference} is clamped to [-maxLogRatio, maxLogRatio] before it is
 * exponentiated (k3 and importance weights), with gradient 0 where clamped; k1, abs and k2 are
 * never clamped. Arithmetic is f32; k3 keeps its digits near d = 0.
 *
 * <p>Sources: Schulman 2020 for the estimators, {@link KlGradient} for their gradients. verl clamps
 * at 20 and bounds k3 by 10; TRL does neither: {@code withMaxLogRatio(PolicyLoss.NONE)}.
 *
 * <p>Immutable and thread-safe.
 */
public final class TokenKl {
  private final KlEstimator estimator;
  private final KlGradient gradient;
  private final float maxLogRatio;
  private final float k3Max;

  private TokenKl(KlEstimator estimator, KlGradient gradient, float maxLogRatio, float k3Max) {
    this.estimator = Objects.requireNonNull(estimator, "estimator");
    this.gradient = Objects.requireNonNull(gradient, "gradient");
    this.maxLogRatio = Require.bound("maxLogRatio", maxLogRatio);
    this.k3Max = Require.bound("k3Max", k3Max);
  }

  /**
   * An estimator with the unbiased gradient {@link KlGradient#STRAIGHT_THROUGH_K2}, log-ratios
   * clamped at 20, and k3 not bounded.
   *
   * @param estimator the estimator
   * @return the operation
   */
  public static TokenKl of(KlEstimator estimator) {
    return new TokenKl(
        estimator,
        KlGradient.STRAIGHT_THROUGH_K2,
        PolicyLoss.DEFAULT_MAX_LOG_RATIO,
        PolicyLoss.NONE);
  }

  /**
   * Chooses the gradient.
   *
   * @param gradient what the gradient is
   * @return the operation with it
   */
  public TokenKl withGradient(KlGradient gradient) {
    return new TokenKl(estimator, gradient, maxLogRatio, k3Max);
  }

  /**
   * Bounds log-ratios before they are exponentiated.
   *
   * @param maxLogRatio the bound, > 0; {@link PolicyLoss#NONE} for none
   * @return the operation with it
   * @throws IllegalArgumentException if the bound is not > 0
   */
  public TokenKl withMaxLogRatio(float maxLogRatio) {
    return new TokenKl(estimator, gradient, maxLogRatio, k3Max);
  }

  /**
   * Bounds the value of k3, with gradient 0 where bounded.
   *
   * @param k3Max the bound, > 0; {@link PolicyLoss#NONE} for none
   * @return the operation with it
   * @throws IllegalArgumentException if the bound is not > 0
   */
  public TokenKl withK3Max(float k3Max) {
    return new TokenKl(estimator, gradient, maxLogRatio, k3Max);
  }

  /**
   * Computes the estimates.
   *
   * @param input log-probs, reference, and what belongs to them
   * @return a result without gradient; close it
   * @throws IllegalArgumentException if the parts of the input do not fit each other
   */
  public TokenKlResult forward(TokenKlInput input) {
    Objects.requireNonNull(input, "input");
    Floats kl = Floats.allocate(input.logProb().placement(), input.logProb().size());
    return filled(new TokenKlResult(kl, null, true), input);
  }

  /**
   * Computes the estimates and their gradient.
   *
   * @param input log-probs, reference, and what belongs to them
   * @return a result with gradient; close it
   * @throws IllegalArgumentException if the parts of the input do not fit each other
   */
  public TokenKlResult forwardBackward(TokenKlInput input) {
    Objects.requireNonNull(input, "input");
    return filled(TokenKlResult.allocate(input.logProb()), input);
  }

  private TokenKlResult filled(TokenKlResult out, TokenKlInput input) {
    try {
      run(input, out.kl(), out.gradientOrNull());
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Computes the estimates into memory that exists. Allocates nothing.
   *
   * @param input log-probs, reference, and what belongs to them
   * @param out written: the estimates; its gradient, if any, is left as it is
   * @throws IllegalArgumentException if input and {@code out} do not fit each other, or overlap
   */
  public void forward(TokenKlInput input, TokenKlResult out) {
    Objects.requireNonNull(input, "input");
    Objects.requireNonNull(out, "out");
    run(input, out.kl(), null);
  }

  /**
   * Computes the estimates and their gradient into memory that exists. Allocates nothing.
   *
   * @param input log-probs, reference, and what belongs to them
   * @param out written
   * @throws IllegalArgumentException if input and {@code out} do not fit each other, or overlap
   * @throws IllegalStateException if {@code out} has no gradient
   */
  public void forwardBackward(TokenKlInput input, TokenKlResult out) {
    Objects.requireNonNull(input, "input");
    Objects.requireNonNull(out, "out");
    run(input, out.kl(), out.gradient());
  }

  private void run(TokenKlInput input, Floats kl, Floats gradientOut) {
    long count = input.logProb().size();
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(TokenKlStruct.SIZE);
      call.in("logProb", input.logProb(), count, TokenKlStruct.LOG_PROB);
      call.in("reference", input.reference(), count, TokenKlStruct.REF_LOG_PROB);
      call.in("old", input.old(), count, TokenKlStruct.OLD_LOG_PROB);
      call.in("mask", input.mask(), count, TokenKlStruct.MASK);
      call.in("upstream", input.upstream(), count, TokenKlStruct.UPSTREAM);
      call.out("kl", kl, count, TokenKlStruct.KL);
      call.out("gradient", gradientOut, count, TokenKlStruct.D_LOG_PROB);
      struct.putLong(TokenKlStruct.COUNT, count);
      struct.putInt(TokenKlStruct.ESTIMATOR, estimator.code());
      struct.putInt(TokenKlStruct.GRADIENT_MODE, gradient.code());
      struct.putFloat(TokenKlStruct.MAX_LOG_RATIO, maxLogRatio);
      struct.putFloat(TokenKlStruct.K3_MAX, k3Max);
      call.exec(0);
      int status = PolkaNative.polka_token_kl(call.tokenKl());
      NativeStatus.check(status, input.logProb().device());
      call.completed();
    } finally {
      call.exit();
    }
  }
}
