package dev.polka.cli;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * Entry of the {@code polka} command. Exit status: 0 done, 1 failed, 2 wrong use.
 *
 * <p>Needs {@code info.picocli:picocli} on the class path, which the library itself does not.
 */
@Command(
    name = "polka",
    description = "Policy-optimization kernels for the JVM.",
    synopsisSubcommandLabel = "COMMAND",
    subcommands = Doctor.class)
public final class Main {
  private Main() {}

  /**
   * Runs a subcommand and ends the process with its exit status.
   *
   * @param arguments the subcommand and its arguments
   */
  public static void main(String[] arguments) {
    System.exit(commandLine().execute(arguments));
  }

  static CommandLine commandLine() {
    return new CommandLine(new Main());
  }
}
