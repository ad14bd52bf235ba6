package dev.polka.torch;

import java.util.Arrays;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/**
 * Tensors with given values, on the CPU. {@code Tensor.create} goes through JavaCPP's indexers,
 * which do not work where {@code sun.misc.Unsafe} is denied, as later JDKs will by default.
 *
 * <p>A tensor belongs to the caller's {@code PointerScope}, or is the caller's to close. Stateless
 * and thread-safe.
 */
public final class Tensors {
  private Tensors() {}

  /**
   * Copies floats.
   *
   * @param values the elements, row after row
   * @param shape sizes whose product is the number of values; none for one dimension
   * @return an f32 tensor
   * @throws IllegalArgumentException if the shape does not fit
   */
  public static Tensor of(float[] values, long... shape) {
    return copy(new FloatPointer(values), torch.ScalarType.Float, values.length, shape);
  }

  /**
   * Copies doubles.
   *
   * @param values the elements, row after row
   * @param shape sizes whose product is the number of values; none for one dimension
   * @return an f64 tensor
   * @throws IllegalArgumentException if the shape does not fit
   */
  public static Tensor of(double[] values, long... shape) {
    return copy(new DoublePointer(values), torch.ScalarType.Double, values.length, shape);
  }

  /**
   * Copies longs.
   *
   * @param values the elements, row after row
   * @param shape sizes whose product is the number of values; none for one dimension
   * @return an int64 tensor
   * @throws IllegalArgumentException if the shape does not fit
   */
  public static Tensor of(long[] values, long... shape) {
    return copy(new LongPointer(values), torch.ScalarType.Long, values.length, shape);
  }

  /**
   * Copies ints.
   *
   * @param values the elements, row after row
   * @param shape sizes whose product is the number of values; none for one dimension
   * @return an int32 tensor
   * @throws IllegalArgumentException if the shape does not fit
   */
  public static Tensor of(int[] values, long... shape) {
    return copy(new IntPointer(values), torch.ScalarType.Int, values.length, shape);
  }

  private static Tensor copy(Pointer values, torch.ScalarType type, int length, long[] shape) {
    long[] sizes = shape.length == 0 ? new long[] {length} : shape;
    long elements = 1;
    for (long size : sizes) {
      boolean fits = size >= 0 && (size == 0 || elements <= length / size);
      elements = fits ? elements * size : -1;
    }
    if (elements != length) {
      values.close();
      throw new IllegalArgumentException(
          "shape " + Arrays.toString(sizes) + " has not the " + length + " values given");
    }
    try (values;
        var view = torch.from_blob(values, sizes, new TensorOptions(type))) {
      return view.clone();
    }
  }
}
