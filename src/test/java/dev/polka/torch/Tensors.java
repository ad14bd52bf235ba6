package dev.polka.torch;

import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/**
 * Tensors with given values. {@code Tensor.create} cannot serve: it goes through JavaCPP's
 * indexers, which do not work where {@code sun.misc.Unsafe} is denied.
 */
final class Tensors {
  private Tensors() {}

  static Tensor of(float[] values, long... shape) {
    return copy(new FloatPointer(values), torch.ScalarType.Float, values.length, shape);
  }

  static Tensor of(double[] values, long... shape) {
    return copy(new DoublePointer(values), torch.ScalarType.Double, values.length, shape);
  }

  static Tensor of(long[] values, long... shape) {
    return copy(new LongPointer(values), torch.ScalarType.Long, values.length, shape);
  }

  static Tensor of(int[] values, long... shape) {
    return copy(new IntPointer(values), torch.ScalarType.Int, values.length, shape);
  }

  // No shape means one dimension.
  private static Tensor copy(Pointer values, torch.ScalarType type, int length, long[] shape) {
    long[] sizes = shape.length == 0 ? new long[] {length} : shape;
    try (values;
        var view = torch.from_blob(values, sizes, new TensorOptions(type))) {
      return view.clone();
    }
  }
}
