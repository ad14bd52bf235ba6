package dev.polka.cli;

import dev.polka.train.InputException;
import dev.polka.train.checkpoint.RunDirectory;
import java.nio.file.Path;

/** Chooses where a run goes when nobody says. */
final class OutputFolder {
  private OutputFolder() {}

  /** The given folder; otherwise the first free one, or to resume, the last used one. */
  static Path choose(Path base, Path given, String name, boolean resume) {
    if (given != null) {
      return base.resolve(given);
    }
    Path runs = base.resolve("runs");
    int number = 1;
    while (RunDirectory.holdsRun(runs.resolve(numbered(name, number)))) {
      number++;
    }
    if (!resume) {
      return runs.resolve(numbered(name, number));
    }
    if (number == 1) {
      throw new InputException(runs.resolve(name) + ": holds no run to go on with");
    }
    return runs.resolve(numbered(name, number - 1));
  }

  private static String numbered(String name, int number) {
    return number == 1 ? name : name + "-" + number;
  }
}
