package dev.polka.torch;

import dev.polka.memory.DType;
import dev.polka.memory.Device;
import dev.polka.memory.Values;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/** Memory as tensors: what {@link Torch} does, the other way round. */
final class TensorView {
  private TensorView() {}

  /**
   * Shares the memory of a view. The tensor keeps nothing reachable: the view must outlive it. In
   * the caller's scope.
   */
  static Tensor of(Values values) {
    TensorOptions options = options(values.dtype(), values.device());
    return values.size() == 0
        ? torch.empty(new long[] {0}, options, new MemoryFormatOptional())
        : torch.from_blob(new At(values.address()), new long[] {values.size()}, options);
  }

  /** A tensor of its own, not initialised. In the caller's scope. */
  static Tensor empty(DType dtype, Device device, long... shape) {
    return torch.empty(shape, options(dtype, device), new MemoryFormatOptional());
  }

  private static TensorOptions options(DType dtype, Device device) {
    return new TensorOptions(TorchTypes.scalarType(dtype))
        .device(new DeviceOptional(TorchTypes.device(device)));
  }

  private static final class At extends Pointer {
    At(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }
}
