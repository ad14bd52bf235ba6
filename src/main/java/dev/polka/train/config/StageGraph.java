package dev.polka.train.config;

import dev.polka.train.InputException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Checks what the stages of a pipeline refer to.
 *
 * @param models names of the models
 * @param stages the stages in training order
 */
record StageGraph(Set<String> models, List<Stage> stages) {
  // Names become folder names and parts of keys.
  private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9-]{0,63}");

  static void requireName(String what, String name) {
    if (!NAME.matcher(name).matches()) {
      throw new InputException(
          what + " name '" + name + "' must be lower-case letters, digits and hyphens, 64 at most");
    }
  }

  void check() {
    models.forEach(model -> requireName("model", model));
    Set<String> known = new LinkedHashSet<>(models);
    Set<String> later = new HashSet<>();
    stages.forEach(stage -> later.add(stage.name()));
    for (Stage stage : stages) {
      requireName("stage", stage.name());
      later.remove(stage.name());
      require(stage, "from", stage.from(), known, later);
      for (String other : stage.consults()) {
        require(stage, "refers to", other, known, later);
      }
      if (stage instanceof Replay replay) {
        checkReplay(replay);
      }
      if (!known.add(stage.name())) {
        throw new InputException(
            models.contains(stage.name())
                ? "stage '" + stage.name() + "' is called like a model"
                : "there are two stages named '" + stage.name() + "'");
      }
    }
  }

  private static void require(
      Stage stage, String verb, String name, Set<String> known, Set<String> later) {
    if (known.contains(name)) {
      return;
    }
    String problem;
    if (name.equals(stage.name())) {
      problem = "which is itself";
    } else if (later.contains(name)) {
      problem = "a later stage; put that one first";
    } else {
      problem =
          "which is neither an earlier stage nor a model"
              + NearestName.hint(name, new ArrayList<>(known));
    }
    throw new InputException(
        "stage '" + stage.name() + "': " + verb + " '" + name + "', " + problem);
  }

  private void checkReplay(Replay replay) {
    Stage repeated =
        stages.stream().filter(s -> s.name().equals(replay.repeats())).findFirst().orElse(null);
    if (!(repeated instanceof OnPolicyDistillation) && !(repeated instanceof ForwardKlWarmup)) {
      throw new InputException(
          "stage '"
              + replay.name()
              + "': repeats '"
              + replay.repeats()
              + "', which is no distillation stage");
    }
  }
}
