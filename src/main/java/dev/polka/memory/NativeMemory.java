package dev.polka.memory;

import org.bytedeco.javacpp.BytePointer;

/** A block of the C heap, freed by JavaCPP's deallocator when closed or unreachable. */
final class NativeMemory implements Allocation {
  static final Allocator ALLOCATOR = NativeMemory::allocate;

  private final BytePointer pointer;
  private final long address;
  private final long bytes;

  private NativeMemory(long bytes) {
    JavaCpp.load();
    // An empty block still needs an address of its own.
    this.pointer = new BytePointer(Math.max(bytes, 1));
    // A reference of our own: the end of a caller's PointerScope must not free the block.
    pointer.retainReference();
    this.address = pointer.address();
    this.bytes = bytes;
  }

  private static Allocation allocate(DType dtype, long rows, long cols) {
    return new NativeMemory(Allocator.bytes(dtype, rows, cols));
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
    return this;
  }

  @Override
  public void close() {
    pointer.close();
  }
}
