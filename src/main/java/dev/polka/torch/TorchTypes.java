package dev.polka.torch;

import dev.polka.memory.DType;
import dev.polka.memory.Device;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** What libtorch and Polka call the same things. */
final class TorchTypes {

  private TorchTypes() {}

  static torch.ScalarType scalarType(DType dtype) {
    return switch (dtype) {
      case F32 -> torch.ScalarType.Float;
      case BF16 -> torch.ScalarType.BFloat16;
      case F16 -> torch.ScalarType.Half;
      case F64 -> torch.ScalarType.Double;
      case I32 -> torch.ScalarType.Int;
      case I64 -> torch.ScalarType.Long;
      case U8 -> torch.ScalarType.Byte;
    };
  }

  /** The element type, or null where Polka has none. */
  static DType dtype(Tensor tensor) {
    return switch (tensor.scalar_type().intern()) {
      case Float -> DType.F32;
      case BFloat16 -> DType.BF16;
      case Half -> DType.F16;
      case Double -> DType.F64;
      case Int -> DType.I32;
      case Long -> DType.I64;
      case Byte, Bool -> DType.U8;
      default -> null;
    };
  }

  static org.bytedeco.pytorch.Device device(Device device) {
    return new org.bytedeco.pytorch.Device(
        device.kind() == Device.Kind.CUDA ? torch.DeviceType.CUDA : torch.DeviceType.CPU,
        (byte) (device.kind() == Device.Kind.CUDA ? device.index() : -1));
  }

  /** Where the first element lies; 0 for a tensor without elements. */
  static long address(Tensor tensor) {
    try (Pointer data = tensor.data_ptr()) {
      return data == null ? 0 : data.address();
    }
  }
}
