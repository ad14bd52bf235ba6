package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.reference.ReferenceTokenKl;

/**
 * One call of token_kl beside the f64 reference.
 *
 * @param old log-probs under the sampling policy, or null
 * @param mask tokens that count, or null for all
 * @param upstream a gradient per value, or null for ones
 */
public record TokenKlCase(
    ReferenceTokenKl options,
    float[] logProb,
    float[] reference,
    float[] old,
    boolean[] mask,
    float[] upstream) {

  public static TokenKlCase of(ReferenceTokenKl options, float[] logProb, float[] reference) {
    return new TokenKlCase(options, logProb, reference, null, null, null);
  }

  TokenKlCase withOld(float... value) {
    return new TokenKlCase(options, logProb, reference, value, mask, upstream);
  }

  TokenKlCase withMask(boolean... value) {
    return new TokenKlCase(options, logProb, reference, old, value, upstream);
  }

  TokenKlCase withUpstream(float... value) {
    return new TokenKlCase(options, logProb, reference, old, mask, value);
  }

  /** Values and derivatives. */
  public record Outputs(float[] kl, float[] gradient) {}

  TokenKl operation() {
    return TokenKl.of(KlEstimator.valueOf(options.estimator().name()))
        .withGradient(KlGradient.valueOf(options.mode().name()))
        .withMaxLogRatio((float) options.maxLogRatio())
        .withK3Max((float) options.k3Max());
  }

  public Outputs run() {
    TokenKlInput input = TokenKlInput.of(Floats.copyOf(logProb), Floats.copyOf(reference));
    input = old == null ? input : input.withOld(Floats.copyOf(old));
    input = mask == null ? input : input.withMask(Bytes.copyOf(mask));
    input = upstream == null ? input : input.withUpstream(Floats.copyOf(upstream));
    try (TokenKlResult result = operation().forwardBackward(input)) {
      return new Outputs(result.kl().toArray(), result.gradient().toArray());
    }
  }

  ReferenceTokenKl.Term expected(int token) {
    return options.at(logProb[token], reference[token], old == null ? Double.NaN : old[token]);
  }
}
