package dev.polka.train.stage;

import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Numbers out of tensors. */
final class Values {
  private Values() {}

  static float[] of(Tensor tensor) {
    try (PointerScope scope = new PointerScope()) {
      Tensor dense = tensor.detach().to(ScalarType.Float).contiguous();
      float[] values = new float[(int) dense.numel()];
      FloatPointer data = dense.data_ptr_float();
      data.get(values);
      return values;
    }
  }

  static float largest(float[] values) {
    float largest = 0;
    for (float value : values) {
      largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }

  static Map<String, float[]> gradients(Map<String, Tensor> parameters) {
    Map<String, float[]> gradients = new LinkedHashMap<>();
    parameters.forEach((name, parameter) -> gradients.put(name, of(parameter.grad())));
    return gradients;
  }
}
