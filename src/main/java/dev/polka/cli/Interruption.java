package dev.polka.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine;

/** Says how to go on when the process is interrupted, by Ctrl-C or otherwise short of a kill. */
final class Interruption implements AutoCloseable {
  private final Thread hook;

  private Interruption(Thread hook) {
    this.hook = hook;
  }

  /** Until it is closed, an end of the process prints the command that goes on with the run. */
  static Interruption of(CommandLine command, Path run) {
    PrintWriter err = command.getErr();
    String next = resuming(command.getParseResult().originalArgs(), run);
    var hook =
        new Thread(
            () -> {
              err.println();
              err.println("polka train: interrupted; what is done is kept. Go on with:");
              err.println("  " + next);
              err.flush();
            });
    Runtime.getRuntime().addShutdownHook(hook);
    return new Interruption(hook);
  }

  /** The same command with the folder of the run. */
  static String resuming(List<String> arguments, Path run) {
    List<String> words = new ArrayList<>(List.of("./polka"));
    for (int i = 0; i < arguments.size(); i++) {
      String word = arguments.get(i);
      if (word.equals("--out")) {
        i++;
      } else if (!word.equals("--resume") && !word.startsWith("--out=")) {
        words.add(quoted(word));
      }
    }
    words.addAll(List.of("--resume", "--out", quoted(run.toString())));
    return String.join(" ", words);
  }

  /** A word as a shell takes it. */
  static String quoted(String word) {
    return word.matches("[\\w@%+=:,./-]+") ? word : "'" + word.replace("'", "'\\''") + "'";
  }

  @Override
  public void close() {
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The process is ending already, and the hook has spoken.
    }
  }
}
