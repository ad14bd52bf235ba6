package dev.polka.train;

import java.nio.charset.StandardCharsets;

/**
 * Counter-based random numbers: a value is a function of a key and a counter, and nothing is
 * carried from one draw to the next.
 *
 * <p>A key is built from its parts, such as {@code
 * RandomKey.ofSeed(seed).with("rollout").with(stage).with(step).with(sample)}, and {@code
 * key.uniform(token)} is then the number of that token whichever batch, order or thread it is drawn
 * in. So there is no generator state to save, and a resumed run draws what the uninterrupted one
 * would have drawn. The order of the parts matters; keys that differ in one part are unrelated.
 *
 * <p>The mixing function is the 64-bit finalizer of SplitMix64 (Steele, Lea and Flood, "Fast
 * splittable pseudorandom number generators", 2014, with Stafford's constants). It is not
 * cryptographic.
 *
 * <p>Immutable and thread-safe.
 *
 * @param state what all parts so far have been mixed into
 */
public record RandomKey(long state) {
  private static final long GOLDEN = 0x9E3779B97F4A7C15L;
  private static final long STEP = 0xD6E8FEB86659FD93L;
  // Keeps the children of a key apart from the numbers drawn from it.
  private static final long DRAW = 0xD1B54A32D192ED03L;

  /**
   * The key of a seed alone.
   *
   * @param seed any number
   * @return the root key of that seed
   */
  public static RandomKey ofSeed(long seed) {
    return new RandomKey(mix(seed + GOLDEN));
  }

  /**
   * A key below this one.
   *
   * @param part any number: a step, a sample
   * @return the child key
   */
  public RandomKey with(long part) {
    // Multiplied, or a seed and a part of the same values could change places.
    return new RandomKey(mix(state * STEP ^ mix(part + GOLDEN)));
  }

  /**
   * A key below this one.
   *
   * @param part any text: a stage, an arm, a purpose
   * @return the child key
   */
  public RandomKey with(String part) {
    long hash = part.length();
    for (byte b : part.getBytes(StandardCharsets.UTF_8)) {
      hash = mix(hash * GOLDEN + b);
    }
    return with(hash);
  }

  /**
   * 64 random bits.
   *
   * @param counter which draw of this key
   * @return the bits of that draw
   */
  public long bits(long counter) {
    return mix(state + DRAW ^ mix(counter * GOLDEN + DRAW));
  }

  /**
   * A number uniform in [0, 1), a multiple of 2^-53.
   *
   * @param counter which draw of this key
   * @return the number of that draw
   */
  public double uniform(long counter) {
    return (bits(counter) >>> 11) * 0x1p-53;
  }

  /**
   * A whole number uniform in [0, bound), with a bias below bound / 2^64.
   *
   * @param counter which draw of this key
   * @param bound one more than the largest number, at least 1
   * @return the number of that draw
   * @throws IllegalArgumentException if bound is below 1
   */
  public long below(long counter, long bound) {
    if (bound < 1) {
      throw new IllegalArgumentException("bound is " + bound + ", must be at least 1");
    }
    long bits = bits(counter);
    // The unsigned high half of bits * bound; Math.unsignedMultiplyHigh came after Java 17.
    return Math.multiplyHigh(bits, bound) + (bits >> 63 & bound);
  }

  private static long mix(long z) {
    z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
    z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
    return z ^ z >>> 31;
  }
}
