package dev.polka.memory;

/**
 * A block of memory from an {@link Allocator}, valid until it is closed.
 *
 * <p>An implementation may also free itself when nothing refers to it any more.
 */
public interface Allocation extends AutoCloseable {

  /**
   * Where the block starts.
   *
   * @return the address; never 0
   */
  long address();

  /**
   * How long the block is.
   *
   * @return its length in bytes
   */
  long bytes();

  /**
   * What the allocator's library knows the block as: a libtorch tensor for libtorch's allocator.
   *
   * @return the object that keeps the address valid
   */
  Object owner();

  /** Frees the block. Closing twice does nothing. */
  @Override
  void close();
}
