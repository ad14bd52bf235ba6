package dev.polka.memory;

import java.util.Objects;

/**
 * Where a view's memory lives, in which order work on it runs, and where results go.
 *
 * @param device the device of the memory
 * @param stream the CUDA stream that work on this memory is enqueued on; 0 is CUDA's default
 *     stream, and the only value on the CPU
 * @param allocator gives out memory for results that an operation allocates itself
 */
public record Placement(Device device, long stream, Allocator allocator) {

  /** Host memory, with results in {@linkplain Allocator#nativeMemory() native memory}. */
  public static final Placement CPU = new Placement(Device.CPU, 0, Allocator.nativeMemory());

  /**
   * Checks the values against each other.
   *
   * @param device the device
   * @param stream the CUDA stream
   * @param allocator gives out memory
   * @throws IllegalArgumentException if the CPU is given a stream
   */
  public Placement {
    Objects.requireNonNull(device, "device");
    Objects.requireNonNull(allocator, "allocator");
    if (device.kind() == Device.Kind.CPU && stream != 0) {
      throw new IllegalArgumentException(
          "stream: " + stream + " was given for the CPU, which has none");
    }
  }
}
