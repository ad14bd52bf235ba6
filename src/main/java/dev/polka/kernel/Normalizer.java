package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.NormalizerStruct;
import dev.polka.memory.Longs;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * What a sum over tokens is divided by. A token of sequence b weighs
 *
 * <pre>{@code 1 / divisor / (tokenCounts given ? max(tokenCounts[b], 1) : 1)}</pre>
 *
 * <p>Normalizers are inputs, never counted from the batch at hand: with the counts of the whole
 * optimizer step, micro-batches simply add up, and no division follows. A divisor of 0 gives loss 0
 * and gradient 0, so that an empty step is no special case.
 *
 * <p>Immutable, apart from the token counts that it views.
 */
public final class Normalizer {
  private final double divisor;
  private final Longs tokenCounts;

  private Normalizer(double divisor, Longs tokenCounts) {
    this.divisor = Require.notNegative("normalizer: divisor", divisor);
    this.tokenCounts = tokenCounts;
  }

  /**
   * The mean over all tokens of the step (verl {@code token-mean}, TRL {@code dapo} and {@code
   * bnpo}).
   *
   * @param count tokens that count, in the whole step
   * @return the normalizer
   * @throws IllegalArgumentException if {@code count} is negative
   */
  public static Normalizer tokens(long count) {
    return new Normalizer(count, null);
  }

  /**
   * The mean over sequences of each sequence's mean over tokens (verl {@code seq-mean-token-mean},
   * TRL {@code grpo}).
   *
   * @param count sequences in the whole step
   * @param tokenCounts tokens that count in each sequence of the batch; 0 is taken as 1
   * @return the normalizer
   * @throws IllegalArgumentException if {@code count} is negative
   */
  public static Normalizer sequences(long count, Longs tokenCounts) {
    return new Normalizer(count, Objects.requireNonNull(tokenCounts, "tokenCounts"));
  }

  /**
   * The mean over sequences of each sequence's sum over tokens (verl {@code seq-mean-token-sum}).
   *
   * @param count sequences in the whole step
   * @return the normalizer
   * @throws IllegalArgumentException if {@code count} is negative
   */
  public static Normalizer sequenceSums(long count) {
    return new Normalizer(count, null);
  }

  /**
   * The sum divided by a constant (Dr. GRPO: sequences times the maximal completion length, as in
   * TRL {@code dr_grpo}).
   *
   * @param divisor the constant
   * @return the normalizer
   * @throws IllegalArgumentException if {@code divisor} is negative or not finite
   */
  public static Normalizer constant(double divisor) {
    return new Normalizer(divisor, null);
  }

  /**
   * The plain sum.
   *
   * @return the normalizer
   */
  public static Normalizer none() {
    return new Normalizer(1, null);
  }

  /**
   * Multiplies the loss by the number of replicas, for trainers that average the replicas'
   * gradients where the counts of the step ask for their sum (verl {@code dp_size}).
   *
   * @param replicas how many
   * @return the normalizer with it
   * @throws IllegalArgumentException if {@code replicas} is not at least 1
   */
  public Normalizer withAveragedReplicas(int replicas) {
    if (replicas < 1) {
      throw new IllegalArgumentException("replicas: " + replicas + " is not at least 1");
    }
    return new Normalizer(divisor / replicas, tokenCounts);
  }

  /**
   * What the sum is divided by.
   *
   * @return the divisor
   */
  public double divisor() {
    return divisor;
  }

  /**
   * The token counts that sequences are divided by.
   *
   * @return one per sequence, or null if sequences are not divided
   */
  public Longs tokenCounts() {
    return tokenCounts;
  }

  void write(NativeCall call, String name, ByteBuffer struct, int at, long sequences) {
    struct.putDouble(at + NormalizerStruct.DIVISOR, divisor);
    call.in(name, tokenCounts, sequences, at + NormalizerStruct.SEQUENCE_TOKENS);
  }
}
