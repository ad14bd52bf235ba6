package dev.polka.train.config;

import dev.polka.train.InputException;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A whole run: problems, models, stages and the arms that are compared.
 *
 * <p>The stages form a graph. Each starts {@link Stage#from} the result of an earlier stage or from
 * a model's first weights, and may consult others (its teachers, a reference). So what several arms
 * share (the teacher, the warm start) is one stage, trained once per seed, and an {@link Arm} is
 * simply the stage whose result is evaluated.
 *
 * @param name of the run; its default output folder is called after it
 * @param seeds the seeds to run, each once
 * @param data where problems come from
 * @param models the models by name
 * @param batching how sequences are put into batches
 * @param loss what computes the losses
 * @param evaluation how every arm is evaluated
 * @param stages in an order in which they can be trained: a stage refers only to earlier ones
 * @param arms what is compared, in the order of the table
 */
public record Pipeline(
    String name,
    List<Long> seeds,
    DataSettings data,
    Map<String, ModelSettings> models,
    BatchingSettings batching,
    LossBackend loss,
    EvaluationSettings evaluation,
    List<Stage> stages,
    List<Arm> arms) {

  /**
   * Checks the values.
   *
   * @param name of the run
   * @param seeds the seeds to run
   * @param data where problems come from
   * @param models the models by name
   * @param batching how sequences are put into batches
   * @param loss what computes the losses
   * @param evaluation how every arm is evaluated
   * @param stages in an order in which they can be trained
   * @param arms what is compared
   */
  public Pipeline {
    seeds = List.copyOf(seeds);
    models = Collections.unmodifiableMap(new LinkedHashMap<>(models));
    stages = List.copyOf(stages);
    arms = List.copyOf(arms);
    if (seeds.isEmpty() || new HashSet<>(seeds).size() != seeds.size()) {
      throw new InputException("seeds are " + seeds + "; at least one, and each once, is needed");
    }
    new StageGraph(models.keySet(), stages).check();
    Set<String> names = new HashSet<>();
    for (Arm arm : arms) {
      if (!names.add(arm.name())) {
        throw new InputException("there are two arms named '" + arm.name() + "'");
      }
      if (stages.stream().noneMatch(stage -> stage.name().equals(arm.result()))) {
        throw new InputException(
            "arm '"
                + arm.name()
                + "': its result is '"
                + arm.result()
                + "', which is no stage"
                + NearestName.hint(arm.result(), stages.stream().map(Stage::name).toList()));
      }
    }
    if (arms.isEmpty()) {
      throw new InputException("there are no arms; at least one is needed");
    }
  }

  /**
   * A stage by its name.
   *
   * @param stage the name
   * @return the stage
   * @throws IllegalArgumentException if there is none
   */
  public Stage stage(String stage) {
    return stages.stream()
        .filter(s -> s.name().equals(stage))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("there is no stage '" + stage + "'"));
  }

  /**
   * The model whose weights a stage trains, or that a name of a model stands for.
   *
   * @param name the name of a stage or a model
   * @return the name of the model
   * @throws IllegalArgumentException if there is neither
   */
  public String modelOf(String name) {
    String at = name;
    while (!models.containsKey(at)) {
      at = stage(at).from();
    }
    return at;
  }

  /**
   * The stages that lead to the result of an arm, its teachers' included.
   *
   * @param arm one of {@link #arms}
   * @return the stages in training order; the last is the arm's result
   */
  public List<Stage> lineage(Arm arm) {
    return needed(Set.of(arm.result()));
  }

  /**
   * The stages that lead to any arm: what one seed trains. A stage that leads to none is not
   * trained.
   *
   * @return the stages in training order, each once
   */
  public List<Stage> trainedStages() {
    Set<String> results = new HashSet<>();
    arms.forEach(arm -> results.add(arm.result()));
    return needed(results);
  }

  private List<Stage> needed(Set<String> results) {
    Set<String> needed = new HashSet<>(results);
    for (int i = stages.size() - 1; i >= 0; i--) {
      Stage stage = stages.get(i);
      if (needed.contains(stage.name())) {
        needed.add(stage.from());
        needed.addAll(stage.consults());
      }
    }
    return stages.stream().filter(stage -> needed.contains(stage.name())).toList();
  }

  /**
   * The scored rollouts that an arm costs per seed: responses that were verified for training, its
   * teachers' included. Evaluation is not counted; it is the same for every arm.
   *
   * @param arm one of {@link #arms}
   * @return the number of rollouts by the model that wrote them, in the order of the stages
   */
  public Map<String, Long> scoredRollouts(Arm arm) {
    Map<String, Long> rollouts = new LinkedHashMap<>();
    for (Stage stage : lineage(arm)) {
      if (stage.scoredRollouts() > 0) {
        rollouts.merge(modelOf(stage.name()), stage.scoredRollouts(), Long::sum);
      }
    }
    return rollouts;
  }

  /**
   * The same pipeline for other seeds.
   *
   * @param others the seeds
   * @return the pipeline
   */
  public Pipeline withSeeds(List<Long> others) {
    return new Pipeline(name, others, data, models, batching, loss, evaluation, stages, arms);
  }

  /**
   * The same pipeline on other problems.
   *
   * @param other where problems come from
   * @return the pipeline
   */
  public Pipeline withData(DataSettings other) {
    return new Pipeline(name, seeds, other, models, batching, loss, evaluation, stages, arms);
  }

  /**
   * The same pipeline with its losses computed otherwise.
   *
   * @param other what computes them
   * @return the pipeline
   */
  public Pipeline withLoss(LossBackend other) {
    return new Pipeline(name, seeds, data, models, batching, other, evaluation, stages, arms);
  }

  /**
   * The same pipeline evaluated differently.
   *
   * @param other how every arm is evaluated
   * @return the pipeline
   */
  public Pipeline withEvaluation(EvaluationSettings other) {
    return new Pipeline(name, seeds, data, models, batching, loss, other, stages, arms);
  }

  /**
   * The same pipeline with another model of a name it has.
   *
   * @param model the name
   * @param settings the other model
   * @return the pipeline
   * @throws InputException if there is no model of that name
   */
  public Pipeline withModel(String model, ModelSettings settings) {
    if (!models.containsKey(model)) {
      throw new InputException(
          "there is no model '" + model + "'; the configuration has " + models.keySet());
    }
    Map<String, ModelSettings> changed = new LinkedHashMap<>(models);
    changed.put(model, settings);
    return new Pipeline(name, seeds, data, changed, batching, loss, evaluation, stages, arms);
  }

  /**
   * The distinct models that the trained stages train or consult.
   *
   * @return their names, in the order of the configuration
   */
  public Set<String> usedModels() {
    Set<String> used = new LinkedHashSet<>(models.keySet());
    Set<String> named = new HashSet<>();
    for (Stage stage : trainedStages()) {
      named.add(modelOf(stage.name()));
      stage.consults().forEach(other -> named.add(modelOf(other)));
    }
    used.retainAll(named);
    return used;
  }
}
