package dev.polka.kernel;

import dev.polka.memory.Floats;
import dev.polka.memory.NativeLoadException;
import java.util.function.Supplier;

/** Asks for the native library twice, through either package, and prints what it got. */
final class NativeLoadProbe {
  private NativeLoadProbe() {}

  public static void main(String[] arguments) {
    report("kernel", Backend::version);
    report("memory", () -> Floats.copyOf(1).get(0));
    System.out.println(Backend.describe());
  }

  private static void report(String name, Supplier<?> use) {
    NativeLoadException first = failure(use);
    NativeLoadException second = failure(use);
    if (first == null) {
      System.out.println(name + " loaded");
      return;
    }
    System.out.println(name + " same " + (first == second));
    System.out.println(name + " file " + first.file());
    System.out.println(name + " platform " + first.platform());
    System.out.println(name + " missing " + first.missingDependency().orElse("-"));
    System.out.println(name + " glibcFound " + first.glibcFound().orElse("-"));
    System.out.println(name + " glibcNeeded " + first.glibcNeeded().orElse("-"));
    System.out.println(name + " message " + first.getMessage().replace("\n", " | "));
  }

  private static NativeLoadException failure(Supplier<?> use) {
    try {
      use.get();
      return null;
    } catch (NativeLoadException failure) {
      return failure;
    }
  }
}
