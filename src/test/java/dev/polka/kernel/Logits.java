package dev.polka.kernel;

import dev.polka.memory.DType;
import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import dev.polka.reference.Noise;
import dev.polka.reference.Storage;
import java.util.Arrays;

/**
 * A matrix of logits for a test: the values as the storage type holds them, row after row, and
 * copies of them in native memory. Immutable.
 */
public record Logits(Storage storage, int rows, int cols, float[] values) {
  /** The given values, rounded to the storage type. */
  public static Logits of(Storage storage, int rows, int cols, float... values) {
    return new Logits(storage, rows, cols, storage.narrow(values));
  }

  /** Normal logits around {@code offset}; row r depends on {@code (seed, r)} alone. */
  public static Logits normal(
      Storage storage, int rows, int cols, double scale, double offset, long seed) {
    float[] values = new float[Math.multiplyExact(rows, cols)];
    for (int r = 0; r < rows; r++) {
      Noise noise = Noise.of(seed).stream(r);
      for (int j = 0; j < cols; j++) {
        values[r * cols + j] = (float) (offset + scale * noise.normal(j));
      }
    }
    return of(storage, rows, cols, values);
  }

  public static Logits normal(int rows, int cols, long seed) {
    return normal(Storage.F32, rows, cols, 3, 0, seed);
  }

  public DType dtype() {
    return DType.valueOf(storage.name());
  }

  public float[] row(int r) {
    return Arrays.copyOfRange(values, r * cols, (r + 1) * cols);
  }

  public float get(int r, int j) {
    return values[r * cols + j];
  }

  /** The column of the largest logit of a row, the first of equals. */
  public int argMax(int r) {
    int best = 0;
    for (int j = 1; j < cols; j++) {
      best = get(r, j) > get(r, best) ? j : best;
    }
    return best;
  }

  /** Other values in the same shape and type. */
  public Logits with(float[] changed) {
    return of(storage, rows, cols, changed);
  }

  /** One value replaced. */
  public Logits with(int r, int j, float value) {
    float[] changed = values.clone();
    changed[r * cols + j] = value;
    return with(changed);
  }

  /** A whole row replaced by one value. */
  public Logits withRow(int r, float value) {
    float[] changed = values.clone();
    Arrays.fill(changed, r * cols, (r + 1) * cols, value);
    return with(changed);
  }

  /** The given rows, in the given order. */
  public Logits rows(int... order) {
    float[] picked = new float[order.length * cols];
    for (int i = 0; i < order.length; i++) {
      System.arraycopy(values, order[i] * cols, picked, i * cols, cols);
    }
    return new Logits(storage, order.length, cols, picked);
  }

  /** Rows {@code from .. to - 1}. */
  public Logits slice(int from, int to) {
    return new Logits(storage, to - from, cols, Arrays.copyOfRange(values, from * cols, to * cols));
  }

  /** A flat matrix of this shape, cut into rows. */
  public float[][] split(float[] flat) {
    float[][] split = new float[rows][];
    for (int r = 0; r < rows; r++) {
      split[r] = Arrays.copyOfRange(flat, r * cols, (r + 1) * cols);
    }
    return split;
  }

  /** A dense copy in native memory; the caller closes it. */
  public Matrix matrix() {
    return Matrix.copyOf(dtype(), rows, cols, values);
  }

  /**
   * A copy whose rows lie {@code stride} elements apart, NaN between them; the caller closes it.
   */
  public Padded padded(int stride) {
    Matrix memory = Matrix.allocate(dtype(), rows, stride);
    Matrix view =
        Matrix.ofAddress(
            memory.address(),
            memory.span() * dtype().bytes(),
            dtype(),
            MatrixLayout.strided(rows, cols, stride));
    for (int r = 0; r < rows; r++) {
      for (int j = 0; j < stride; j++) {
        memory.set(r, j, j < cols ? get(r, j) : Float.NaN);
      }
    }
    return new Padded(memory, view);
  }

  /** A strided view and the memory it lies in. */
  public record Padded(Matrix memory, Matrix view) implements AutoCloseable {
    @Override
    public void close() {
      memory.close();
    }
  }
}
