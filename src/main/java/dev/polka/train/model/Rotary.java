package dev.polka.train.model;

import dev.polka.torch.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Rotary position embedding (Su et al., "RoFormer", 2021) with Hugging Face's pairing: element i of
 * a head turns with element i + headDim / 2, by the angle {@code position * theta^(-2 i /
 * headDim)}.
 *
 * <p>{@code x cos + rotateHalf(x) sin}, where {@code rotateHalf(a, b) = (-b, a)}: the sign is in
 * the table, so that the rotated halves are one roll. Angles are f32 as in Hugging Face's tables.
 */
final class Rotary implements AutoCloseable {
  private final int headDim;
  private final double theta;
  private final ScalarType dtype;
  private int length;
  private Tensor cos; // [length, headDim]
  private Tensor sin; // [length, headDim], the first half negative

  Rotary(ModelConfig config, ScalarType dtype) {
    headDim = config.headDim();
    theta = config.ropeTheta();
    this.dtype = dtype;
  }

  /** The tables of rows whose positions are 0 to length - 1, in the caller's scope. */
  Turn upTo(int length) {
    require(length);
    return new Turn(cos.narrow(0, 0, length), sin.narrow(0, 0, length));
  }

  /** The tables of rows at any positions below length, in the caller's scope. */
  Turn at(Tensor positions, int length) {
    require(length);
    return new Turn(cos.index_select(0, positions), sin.index_select(0, positions));
  }

  private void require(int needed) {
    if (needed <= length) {
      return;
    }
    int half = headDim / 2;
    int rows = Math.max(needed, 2 * length);
    float[] cosines = new float[Math.multiplyExact(rows, headDim)];
    float[] sines = new float[cosines.length];
    for (int i = 0; i < half; i++) {
      float frequency = (float) (1 / (float) StrictMath.pow(theta, 2.0 * i / headDim));
      for (int row = 0; row < rows; row++) {
        float angle = row * frequency;
        int at = row * headDim + i;
        cosines[at] = cosines[at + half] = (float) StrictMath.cos(angle);
        sines[at + half] = (float) StrictMath.sin(angle);
        sines[at] = -sines[at + half];
      }
    }
    close();
    cos = table(cosines, rows);
    sin = table(sines, rows);
    length = rows;
  }

  private Tensor table(float[] values, int rows) {
    return Scopes.keep(Tensors.of(values, rows, headDim).to(dtype));
  }

  @Override
  public void close() {
    if (length > 0) {
      cos.close();
      sin.close();
      length = 0;
    }
  }

  /**
   * The tables of some rows.
   *
   * @param cos {@code [rows, headDim]}
   * @param sin {@code [rows, headDim]}
   */
  record Turn(Tensor cos, Tensor sin) {

    /** The same for rows of several heads side by side: {@code [rows, heads * headDim]}. */
    Turn tiled(int heads) {
      return new Turn(cos.repeat(1, heads), sin.repeat(1, heads));
    }

    /**
     * Turns all heads of all rows. The table is as wide as the heads together, so that the
     * multiplications run over whole rows, on the vector path.
     *
     * @param x {@code [n * rows, heads * headDim]}
     */
    Tensor apply(Tensor x, int heads, int headDim) {
      long rows = cos.size(0);
      long width = (long) heads * headDim;
      long n = rows == 0 ? 0 : x.size(0) / rows;
      Tensor halves = x.view(n * rows * heads, headDim).roll(new long[] {headDim / 2}, 1);
      return x.view(n, rows, width)
          .mul(cos)
          .addcmul(halves.view(n, rows, width), sin, new Scalar(1.0));
    }
  }
}
