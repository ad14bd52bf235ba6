package dev.polka.memory;

import java.util.Objects;

/**
 * Where memory lives; an operation runs on the device of its memory.
 *
 * @param kind the kind of device
 * @param index which one of its kind, from 0; always 0 for the CPU
 */
public record Device(Kind kind, int index) {

  /** The kinds of device that the contract knows. */
  public enum Kind {
    /** Host memory. */
    CPU(0),
    /** Memory of a CUDA device. */
    CUDA(1);

    private final int code;

    Kind(int code) {
      this.code = code;
    }

    /**
     * The number that {@code polka.h} gives this kind.
     *
     * @return the code
     */
    public int code() {
      return code;
    }
  }

  /** Host memory. */
  public static final Device CPU = new Device(Kind.CPU, 0);

  /**
   * Checks the values against each other.
   *
   * @param kind the kind of device
   * @param index which one of its kind
   * @throws IllegalArgumentException if an index is negative, or not 0 for the CPU
   */
  public Device {
    Objects.requireNonNull(kind, "kind");
    if (index < 0 || kind == Kind.CPU && index != 0) {
      throw new IllegalArgumentException(
          "device: index " + index + " of " + kind + " is out of range");
    }
  }

  /**
   * A CUDA device.
   *
   * @param index the device's ordinal, from 0
   * @return the device
   * @throws IllegalArgumentException if {@code index} is negative
   */
  public static Device cuda(int index) {
    return new Device(Kind.CUDA, index);
  }

  /** {@code cpu} or {@code cuda:0}. */
  @Override
  public String toString() {
    return kind == Kind.CPU ? "cpu" : "cuda:" + index;
  }
}
