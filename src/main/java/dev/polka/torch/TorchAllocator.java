package dev.polka.torch;

import dev.polka.memory.Allocation;
import dev.polka.memory.Allocator;
import dev.polka.memory.DType;
import dev.polka.memory.Device;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.LayoutOptional;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** Results as tensors, from libtorch's own allocator: its caches serve them, no copy is needed. */
record TorchAllocator(Device device) implements Allocator {

  @Override
  public Allocation allocate(DType dtype, long rows, long cols) {
    long bytes = Allocator.bytes(dtype, rows, cols);
    try (PointerScope scope = new PointerScope()) {
      Tensor tensor =
          torch.empty(
              new long[] {rows, cols},
              new ScalarTypeOptional(TorchTypes.scalarType(dtype)),
              new LayoutOptional(),
              new DeviceOptional(TorchTypes.device(device)),
              new BoolOptional(),
              new MemoryFormatOptional());
      // Outlives this scope and every scope of the caller: the result's close() ends it.
      tensor.retainReference();
      return new TensorAllocation(tensor, bytes);
    }
  }

  private static final class TensorAllocation implements Allocation {
    private final TensorOwner owner;
    private final long address;
    private final long bytes;

    TensorAllocation(Tensor tensor, long bytes) {
      this.owner = new TensorOwner(tensor);
      this.address = TorchTypes.address(tensor);
      this.bytes = bytes;
    }

    @Override
    public long address() {
      return address;
    }

    @Override
    public long bytes() {
      return bytes;
    }

    @Override
    public Object owner() {
      return owner;
    }

    @Override
    public void close() {
      if (owner.isAlive()) {
        owner.tensor().close();
      }
    }
  }
}
