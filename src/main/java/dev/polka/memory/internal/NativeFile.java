package dev.polka.memory.internal;

import dev.polka.memory.NativeLoadException;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.Loader;

/**
 * A shared object that travels in a jar as {@code <package of
 * anchor>/<folder>/<platform>/lib<name>.so}.
 *
 * @param product whose library it is, for people
 * @param artifact the Maven coordinates that carry it
 * @param anchor a class of the package that carries it
 * @param folder a folder below that package, or empty
 * @param name its name without prefix and suffix
 */
public record NativeFile(
    String product, String artifact, Class<?> anchor, String folder, String name) {
  private static final Pattern MISSING =
      Pattern.compile("([^\\s:/]+\\.so[^\\s:]*): cannot open shared object file");

  /**
   * Loads a class's native library, unless that was done before, and calls into it.
   *
   * @param type a class whose initializer loads the library
   * @param firstUse a native call, because loading can fail in silence
   * @return null, or why the library cannot be used
   */
  public NativeLoadException tryLoad(Class<?> type, Runnable firstUse) {
    try {
      requireCacheDirectory();
      Loader.load(type);
      firstUse.run();
      return null;
    } catch (Exception | LinkageError failure) {
      return explain(failure);
    }
  }

  /**
   * Where the library lies.
   *
   * @return the class path resource; null if no jar on the class path carries it
   */
  public URL resource() {
    return anchor.getResource(path());
  }

  /**
   * The C library that the file needs.
   *
   * @return the version; empty if the file is not there, cannot be read, or needs none
   */
  public Optional<String> glibcNeeded() {
    try (InputStream in = anchor.getResourceAsStream(path())) {
      return in == null ? Optional.empty() : Glibc.needed(in);
    } catch (IOException unreadable) {
      return Optional.empty(); // Only asked for to explain; the failure itself is reported anyway.
    }
  }

  private String path() {
    return (folder.isEmpty() ? "" : folder + "/") + Loader.getPlatform() + "/lib" + name + ".so";
  }

  // JavaCPP would go on to another directory; one that was asked for by name is used or refused.
  private static void requireCacheDirectory() throws IOException {
    String named = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (named != null) {
      File directory = new File(named);
      if (!(directory.isDirectory() || directory.mkdirs()) || !directory.canWrite()) {
        throw new IOException(
            "the cache directory "
                + named
                + " (-Dorg.bytedeco.javacpp.cachedir) cannot be created or written");
      }
    }
  }

  private NativeLoadException explain(Throwable failure) {
    String platform = Loader.getPlatform();
    URL resource = resource();
    String file =
        resource == null
            ? "class path resource "
                + anchor.getPackageName().replace('.', '/')
                + "/"
                + path()
                + " (not found)"
            : resource.toString();
    String missing = missingDependency(failure);
    String found = Glibc.found().orElse(null);
    String needed = glibcNeeded().orElse(null);
    var message = new StringBuilder(product).append("'s native library could not be loaded.");
    message.append("\n  file tried: ").append(file);
    message.append("\n  platform: ").append(platform);
    message.append("\n  glibc: found ").append(found == null ? "none" : found);
    message.append(", needed ").append(needed == null ? "unknown" : needed);
    if (missing != null) {
      message.append("\n  missing dependency: ").append(missing);
    }
    for (Throwable t = failure; t != null; t = t.getCause()) {
      message.append("\n  because: ").append(t.getMessage() == null ? t : t.getMessage());
    }
    if (resource == null) {
      message
          .append("\n  to do: add ")
          .append(artifact)
          .append(" with classifier ")
          .append(platform);
      message.append(" to the class path; if there is none, the platform is not supported");
    } else if (missing != null) {
      message.append("\n  to do: install the package that has ").append(missing);
    }
    return new NativeLoadException(
        message.toString(), file, platform, missing, found, needed, failure);
  }

  private static String missingDependency(Throwable failure) {
    for (Throwable t = failure; t != null; t = t.getCause()) {
      Matcher matcher = MISSING.matcher(String.valueOf(t.getMessage()));
      if (matcher.find()) {
        return matcher.group(1);
      }
    }
    return null;
  }
}
