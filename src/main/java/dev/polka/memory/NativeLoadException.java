package dev.polka.memory;

import java.util.Optional;

/**
 * A native library could not be loaded. Thrown on the first use and again, the same object, on
 * every later one: nothing falls back to something slower.
 *
 * <p>The message has everything the accessors have, and what to do about it.
 */
public final class NativeLoadException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final String file;
  private final String platform;
  private final String missingDependency;
  private final String glibcFound;
  private final String glibcNeeded;

  /**
   * Describes a failure.
   *
   * @param message the whole story, for people
   * @param file the file or class path resource that was tried
   * @param platform JavaCPP's name of the platform, such as {@code linux-x86_64}
   * @param missingDependency a shared object that the library needs and the system lacks, or null
   * @param glibcFound the C library of this machine, or null if it is not glibc
   * @param glibcNeeded the C library that the file needs, or null if it could not be read
   * @param cause what the loader threw, or null
   */
  public NativeLoadException(
      String message,
      String file,
      String platform,
      String missingDependency,
      String glibcFound,
      String glibcNeeded,
      Throwable cause) {
    super(message, cause);
    this.file = file;
    this.platform = platform;
    this.missingDependency = missingDependency;
    this.glibcFound = glibcFound;
    this.glibcNeeded = glibcNeeded;
  }

  /**
   * What was tried.
   *
   * @return a file path, or a class path resource
   */
  public String file() {
    return file;
  }

  /**
   * The platform that the loader took this machine for.
   *
   * @return JavaCPP's name of it, such as {@code linux-x86_64}
   */
  public String platform() {
    return platform;
  }

  /**
   * The shared object that was not found, if that was the reason.
   *
   * @return its name, such as {@code libgomp.so.1}
   */
  public Optional<String> missingDependency() {
    return Optional.ofNullable(missingDependency);
  }

  /**
   * The C library of this machine.
   *
   * @return its version, such as {@code 2.36}; empty if it is not glibc
   */
  public Optional<String> glibcFound() {
    return Optional.ofNullable(glibcFound);
  }

  /**
   * The C library that the file needs.
   *
   * @return the version; empty if the file could not be read
   */
  public Optional<String> glibcNeeded() {
    return Optional.ofNullable(glibcNeeded);
  }
}
