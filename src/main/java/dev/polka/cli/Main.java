package dev.polka.cli;

import java.util.Properties;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.ParameterException;

/**
 * Entry of the {@code polka} command. Exit status: 0 done, 1 failed, 2 wrong use.
 *
 * <p>Needs {@code info.picocli:picocli} on the class path, which the library itself does not.
 */
@Command(
    name = "polka",
    description = "Policy-optimization kernels for the JVM.",
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {Bench.class, Doctor.class, Train.class})
public final class Main {
  private Main() {}

  /**
   * Runs a subcommand and ends the process with its exit status.
   *
   * @param arguments the subcommand and its arguments
   */
  public static void main(String[] arguments) {
    quieten();
    System.exit(commandLine().execute(arguments));
  }

  static CommandLine commandLine() {
    return new CommandLine(new Main())
        .setUsageHelpWidth(100)
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setParameterExceptionHandler(Main::wrongUse);
  }

  /** One clear line instead of the whole help. */
  static int wrongUse(ParameterException e, String[] arguments) {
    CommandLine command = e.getCommandLine();
    String name = command.getCommandSpec().qualifiedName();
    String message = e.getMessage().lines().findFirst().orElse("wrong use");
    command.getErr().println(name + ": " + message);
    command.getErr().println("see ./" + name + " --help");
    return ExitCode.USAGE;
  }

  /** Libraries speak up for warnings only; a property that is set already wins. */
  private static void quieten() {
    String prefix = "org.slf4j.simpleLogger.";
    Properties properties = System.getProperties();
    properties.putIfAbsent(prefix + "defaultLogLevel", "warn");
    // It warns wherever there is no GPU.
    properties.putIfAbsent(prefix + "log.ai.djl", "error");
    properties.putIfAbsent("java.awt.headless", "true");
  }
}
