package dev.polka.kernel.internal;

import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.NativeLoadException;
import dev.polka.memory.internal.NativeFile;
import java.util.Optional;
import org.bytedeco.javacpp.Loader;

/**
 * Loads Polka's native library, once. No generated class is touched before {@link #load} has
 * returned: a generated class that failed to initialize once would answer every later use with a
 * bare {@code NoClassDefFoundError}.
 */
public final class NativeLibrary {
  private static final NativeFile FILE =
      new NativeFile("Polka", "dev.polka:polka", NativeLibrary.class, "gen", "jnipolka");
  private static final NativeLoadException FAILURE =
      FILE.tryLoad(PolkaNative.class, () -> PolkaNative.polka_target());

  private NativeLibrary() {}

  /**
   * Makes sure that the library is loaded.
   *
   * @throws NativeLoadException if it cannot be loaded; the same object each time
   */
  public static void load() {
    if (FAILURE != null) {
      throw FAILURE;
    }
  }

  /** Why the library is not loaded, or null if it is. */
  public static NativeLoadException failure() {
    return FAILURE;
  }

  /** The C library that the native library needs, if the file could be read. */
  public static Optional<String> glibcNeeded() {
    return FILE.glibcNeeded();
  }

  /** The file that was loaded. */
  public static String loadedFile() {
    load();
    return Loader.getLoadedLibraries().get(FILE.name());
  }
}
