package dev.polka.cli;

import dev.polka.kernel.Backend;
import dev.polka.memory.NativeLoadException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Prints what Polka found on this machine. Fails if the native library cannot be loaded. */
@Command(
    name = "doctor",
    mixinStandardHelpOptions = true,
    description =
        "Prints version, platform, native library, SIMD target, threads, CUDA, glibc, libtorch and"
            + " Java as Polka found them; exit status 1 if the native library cannot be loaded.")
final class Doctor implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Override
  public Integer call() {
    var out = spec.commandLine().getOut();
    out.println(Backend.describe());
    out.println("libtorch: " + LibtorchPresence.describe());
    out.println(
        "Java: "
            + Runtime.version()
            + " ("
            + System.getProperty("java.vm.name")
            + ", "
            + System.getProperty("java.home")
            + ")");
    out.flush();
    return loads() ? 0 : 1;
  }

  // Backend.describe has already said why not.
  private static boolean loads() {
    try {
      Backend.version();
      return true;
    } catch (NativeLoadException e) {
      return false;
    }
  }
}
