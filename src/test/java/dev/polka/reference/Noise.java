package dev.polka.reference;

/**
 * Test data without a sequence: draw {@code i} of a seed is a function of {@code (seed, i)} alone
 * (the SplitMix64 finaliser over a counter), so a row keeps its values whatever else is in the
 * batch. Immutable, thread-safe.
 */
public record Noise(long seed) {
  public static Noise of(long seed) {
    return new Noise(seed);
  }

  public long bits(long index) {
    long z = mix(seed * 0x9E3779B97F4A7C15L + 0x632BE59BD9B4E019L) + index * 0x9E3779B97F4A7C15L;
    return mix(z);
  }

  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  /** Uniform in (0, 1), never 0 or 1. */
  public double uniform(long index) {
    return ((bits(index) >>> 11) + 0.5) * 0x1p-53;
  }

  public double uniform(long index, double low, double high) {
    return low + (high - low) * uniform(index);
  }

  /** Standard normal (Box and Muller). */
  public double normal(long index) {
    double radius = Math.sqrt(-2 * Math.log(uniform(2 * index)));
    return radius * Math.cos(2 * Math.PI * uniform(2 * index + 1));
  }

  /** Uniform in {@code 0 .. bound - 1}. */
  public int below(long index, int bound) {
    return (int) Long.remainderUnsigned(bits(index), bound);
  }

  /** {@code n} normals times {@code scale}, rounded to f32. */
  public float[] normals(int n, double scale) {
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) (scale * normal(i));
    }
    return values;
  }

  /** {@code n} uniforms of {@code [low, high)}, rounded to f32. */
  public float[] uniforms(int n, double low, double high) {
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) uniform(i, low, high);
    }
    return values;
  }

  /** {@code n} uniforms of {@code [low, high)}. */
  public double[] doubles(int n, double low, double high) {
    double[] values = new double[n];
    for (int i = 0; i < n; i++) {
      values[i] = uniform(i, low, high);
    }
    return values;
  }

  /** {@code n} integers of {@code 0 .. bound - 1}. */
  public long[] indices(int n, int bound) {
    long[] values = new long[n];
    for (int i = 0; i < n; i++) {
      values[i] = below(i, bound);
    }
    return values;
  }

  /** {@code n} booleans, true with the given probability. */
  public boolean[] booleans(int n, double probability) {
    boolean[] values = new boolean[n];
    for (int i = 0; i < n; i++) {
      values[i] = uniform(i) < probability;
    }
    return values;
  }

  /** Another stream of the same seed. */
  public Noise stream(long number) {
    return new Noise(bits(~number));
  }
}
