package dev.polka.torch;

import dev.polka.memory.Device;
import dev.polka.memory.Placement;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.global.torch_cuda;

/** Kept apart so that nothing of CUDA is loaded before a CUDA tensor is seen. */
final class CudaPlacement {

  private CudaPlacement() {}

  /** The device on libtorch's current stream. */
  static Placement of(int index) {
    Device device = Device.cuda(index);
    try (CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) index)) {
      return new Placement(device, stream.stream().address(), new TorchAllocator(device));
    }
  }
}
