package dev.polka.memory;

import java.util.Objects;

/**
 * What every view has in common: an address with a length, where it lies, what keeps it valid, and
 * whether it may still be used.
 */
final class Region {
  private final String name;
  private final long address;
  private final long bytes;
  private final Placement placement;
  private final Object owner;
  private final Region whole; // what this is a part of, or null
  private final Owner library; // the owner, if it wants to be asked and told
  private final boolean readOnly;
  private final Allocation allocation; // null where the memory belongs to somebody else
  private boolean closed;

  Region(
      String name,
      DType dtype,
      long address,
      long bytes,
      Placement placement,
      Object owner,
      boolean readOnly,
      Allocation allocation) {
    if (bytes < 0) {
      throw new IllegalArgumentException(name + ": length of " + bytes + " bytes is negative");
    }
    if (address == 0 && bytes > 0) {
      throw new IllegalArgumentException(name + ": address is 0 for " + bytes + " bytes");
    }
    if (address % dtype.bytes() != 0) {
      throw new IllegalArgumentException(
          String.format(
              "%s: address 0x%x is not a multiple of the %d bytes of an element",
              name, address, dtype.bytes()));
    }
    this.name = name;
    this.address = address;
    this.bytes = bytes;
    this.placement = Objects.requireNonNull(placement, "placement");
    this.whole = owner instanceof Region region ? region : null;
    this.owner = whole == null ? owner : whole.owner;
    this.library = this.owner instanceof Owner asked ? asked : null;
    this.readOnly = readOnly;
    this.allocation = allocation;
  }

  static Region owned(String name, DType dtype, Placement placement, Allocation allocation) {
    return new Region(
        name,
        dtype,
        allocation.address(),
        allocation.bytes(),
        placement,
        allocation.owner(),
        false,
        allocation);
  }

  /** A part of this region; closing it frees nothing. The part keeps the whole alive. */
  Region part(DType dtype, long byteOffset, long byteLength) {
    return new Region(
        name, dtype, address() + byteOffset, byteLength, placement, this, readOnly, null);
  }

  long address() {
    requireUsable();
    return address;
  }

  private void requireUsable() {
    if (whole != null) {
      whole.requireUsable();
    }
    if (closed) {
      throw new IllegalStateException(name + ": used after close()");
    }
    if (library != null && !library.isAlive()) {
      throw new IllegalStateException(name + ": used after its " + owner + " was closed");
    }
  }

  /** Tells the library that the memory belongs to that it was written from outside. */
  void written() {
    if (library != null) {
      library.written();
    }
  }

  long bytes() {
    return bytes;
  }

  Placement placement() {
    return placement;
  }

  Object owner() {
    return owner;
  }

  boolean readOnly() {
    return readOnly;
  }

  /** The address, for reading on this side. */
  long hostAddress() {
    requireHost();
    return address();
  }

  long writableHostAddress() {
    requireHost();
    if (readOnly) {
      throw new IllegalStateException(name + ": is read-only");
    }
    return address();
  }

  private void requireHost() {
    if (placement.device().kind() != Device.Kind.CPU) {
      throw new IllegalStateException(
          name + ": lies on " + placement.device() + " and cannot be read from the host");
    }
  }

  void close() {
    closed = true;
    if (allocation != null) {
      allocation.close();
    }
  }
}
