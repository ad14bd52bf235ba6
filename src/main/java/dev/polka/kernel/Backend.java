package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.NativeLibrary;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Device;
import dev.polka.memory.NativeLoadException;
import dev.polka.memory.internal.Glibc;
import java.util.Optional;
import org.bytedeco.javacpp.Loader;

/**
 * The native library of this process: what it is, what it runs on, and its process-wide settings.
 *
 * <p>An operation runs where its memory lies, so nothing here chooses a device for it. All methods
 * are thread-safe; all but {@link #describe} throw {@link NativeLoadException} if the library
 * cannot be loaded.
 */
public final class Backend {
  private Backend() {}

  /**
   * The native library's version.
   *
   * @return such as {@code 0.1.0}
   */
  public static String version() {
    NativeLibrary.load();
    return PolkaNative.polka_version().getString();
  }

  /**
   * The SIMD target that the next call will use: the forced one, otherwise the best that this
   * processor runs.
   *
   * @return the target
   */
  public static SimdTarget target() {
    NativeLibrary.load();
    return SimdTarget.ofCode(PolkaNative.polka_target());
  }

  /**
   * Whether a target is compiled in and runs on this processor.
   *
   * @param target the target
   * @return true if {@link #forceTarget} would accept it
   */
  public static boolean supports(SimdTarget target) {
    NativeLibrary.load();
    return PolkaNative.polka_target_supported(target.code()) != 0;
  }

  /**
   * Makes every later call of the process use one SIMD target. Results are bit for bit the same on
   * the same target, and equal to rounding between targets.
   *
   * @param target the target, or {@link SimdTarget#NONE} for the best again
   * @throws PolkaException if the target is not compiled in or this processor does not run it
   */
  public static void forceTarget(SimdTarget target) {
    NativeLibrary.load();
    NativeStatus.check(PolkaNative.polka_force_target(target.code()), Device.CPU);
  }

  /**
   * How many threads a call uses at most, unless its operation says otherwise.
   *
   * @return the number of threads
   */
  public static int threads() {
    NativeLibrary.load();
    return PolkaNative.polka_threads();
  }

  /**
   * Sets how many threads a call uses at most. Results do not depend on it.
   *
   * @param n the number of threads; 0 for as many as the machine has
   * @throws IllegalArgumentException if {@code n} is negative
   */
  public static void threads(int n) {
    if (n < 0) {
      throw new IllegalArgumentException("threads: " + n + " is negative");
    }
    NativeLibrary.load();
    PolkaNative.polka_set_threads(n);
    NativeCall.useThreads(n);
  }

  /**
   * Whether CUDA can be used.
   *
   * @return empty if it can, otherwise the reason why not
   */
  public static Optional<String> cudaUnavailable() {
    NativeLibrary.load();
    boolean available = PolkaNative.polka_cuda_available() != 0;
    return available ? Optional.empty() : Optional.of(NativeStatus.lastError());
  }

  /**
   * Insists on CUDA.
   *
   * @throws CudaException with the reason, if it cannot be used
   */
  public static void requireCuda() {
    cudaUnavailable()
        .ifPresent(
            reason -> {
              throw new CudaException(PolkaNative.POLKA_UNAVAILABLE, reason);
            });
  }

  /**
   * Tells what there is, one {@code name: value} a line: version, platform, native library file,
   * SIMD target, threads, CUDA or the reason why not, and the C library found and needed. Throws
   * nothing: if the library cannot be loaded, that is what it tells.
   *
   * @return the text, without a final line break
   */
  public static String describe() {
    var text = new StringBuilder();
    NativeLoadException failure = NativeLibrary.failure();
    if (failure == null) {
      line(text, "version", version());
    }
    line(text, "platform", Loader.getPlatform());
    if (failure == null) {
      line(text, "native library", NativeLibrary.loadedFile());
      line(text, "SIMD target", target().name());
      line(text, "threads", String.valueOf(threads()));
      line(text, "CUDA", cudaUnavailable().map(reason -> "no: " + reason).orElse("yes"));
    } else {
      line(text, "native library", "not loaded\n" + failure.getMessage());
    }
    line(
        text,
        "glibc",
        Glibc.found().orElse("none")
            + " (the native library needs "
            + NativeLibrary.glibcNeeded().orElse("an unknown one")
            + ")");
    return text.substring(0, text.length() - 1);
  }

  private static void line(StringBuilder text, String name, String value) {
    text.append(name).append(": ").append(value).append('\n');
  }
}
