package dev.polka.train.config;

import dev.polka.train.InputException;

/**
 * One of the alternatives that a run compares.
 *
 * @param name short, in lower case with hyphens
 * @param title what a reader of the table sees
 * @param result the stage whose result is evaluated
 */
public record Arm(String name, String title, String result) {
  /**
   * Checks the values.
   *
   * @param name short
   * @param title what a reader of the table sees
   * @param result the stage whose result is evaluated
   */
  public Arm {
    StageGraph.requireName("arm", name);
    if (title.isBlank()) {
      throw new InputException("arm '" + name + "' has an empty title");
    }
  }
}
