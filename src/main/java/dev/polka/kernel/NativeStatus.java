package dev.polka.kernel;

import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Device;

/** Turns a {@code polka_status} into the exception that says the same. */
final class NativeStatus {
  private NativeStatus() {}

  /**
   * Returns if the call went well. The text belongs to the thread, so this comes right after it.
   */
  static void check(int status, Device device) {
    if (status != PolkaNative.POLKA_OK) {
      throw exception(status, device, lastError());
    }
  }

  static String lastError() {
    return PolkaNative.polka_last_error().getString();
  }

  private static RuntimeException exception(int status, Device device, String text) {
    return switch (status) {
      case PolkaNative.POLKA_INVALID_ARGUMENT -> new IllegalArgumentException(text);
      case PolkaNative.POLKA_OUT_OF_RANGE -> new IndexOutOfBoundsException(text);
      case PolkaNative.POLKA_CUDA_ERROR -> new CudaException(status, text);
      case PolkaNative.POLKA_CUDA_LOST -> new CudaFatalException(status, text);
      default ->
          device.kind() == Device.Kind.CUDA
              ? new CudaException(status, text)
              : new PolkaException(status, text);
    };
  }
}
