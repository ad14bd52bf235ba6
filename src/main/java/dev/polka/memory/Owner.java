package dev.polka.memory;

/**
 * What another library has to say about the memory of a view. An adapter gives its handle to the
 * view as {@linkplain Matrix#owner() owner}; where the handle is an {@code Owner}, the view asks it
 * before every use and tells it of every write.
 */
public interface Owner {

  /**
   * Whether the memory is still there.
   *
   * @return false once the library's handle was closed; the view then refuses to be used
   */
  boolean isAlive();

  /**
   * Refuses to have the memory written by something other than the library; an operation asks
   * before it writes anything.
   *
   * @param name what the operation calls the memory, for the message
   * @throws IllegalArgumentException if the library forbids it; it does not unless it says so
   */
  default void requireWritable(String name) {}

  /**
   * The memory was written by something other than the library. A library that keeps track of
   * versions, so that it can tell a saved value from a changed one, counts one more.
   */
  void written();
}
