package dev.polka.cli;

import org.bytedeco.javacpp.Loader;

/** Whether libtorch is on the class path and loads. Names its classes only as text. */
final class LibtorchPresence {
  private LibtorchPresence() {}

  static String describe() {
    Class<?> torch;
    try {
      torch = Class.forName("org.bytedeco.pytorch.presets.torch");
    } catch (ClassNotFoundException e) {
      return "not found (optional; add org.bytedeco:pytorch and its linux-x86_64 classifier)";
    }
    try {
      return "found: " + Loader.load(torch);
    } catch (LinkageError e) {
      return "found, but it does not load: " + e.getMessage();
    }
  }
}
