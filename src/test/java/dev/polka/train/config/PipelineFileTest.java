package dev.polka.train.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import dev.polka.train.data.Split;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PipelineFileTest {
  private static final String SMALL =
      """
      name: small
      seeds: [4, 7]
      models:
        teacher: {width: 64}
        student: {width: 48}
      optimizer: {learningRate: 2e-4, schedule: cosine}
      stages:
        - {name: start, kind: supervised-warm-start, from: teacher, steps: 5}
        - name: rl
          kind: grpo
          from: start
          steps: 10
          rollouts: {prompts: 3, samples: 4}
          optimizer: {learningRate: 1.0e-5}
        - {name: warm, kind: forward-kl-warmup, from: student, teacher: rl, steps: 2}
        - {name: opd, kind: on-policy-distillation, from: warm, teachers: [rl, start], steps: 2}
        - {name: again, kind: replay, from: opd, repeats: opd, steps: 3}
      arms:
        - {name: bridge, title: the bridge, result: opd}
        - {name: replay, result: again}
      """;

  private static Pipeline parse(String text) {
    return PipelineFile.parse("my.yaml", text);
  }

  @Test
  void valuesDefaultsAndOverridesEndUpWhereTheyBelong() {
    Pipeline pipeline = parse(SMALL);
    assertThat(pipeline.seeds()).containsExactly(4L, 7L);
    Grpo rl = (Grpo) pipeline.stage("rl");
    assertThat(rl.rollouts()).isEqualTo(new RolloutSettings(Split.TRAIN, 3, 4, 1));
    assertThat(rl.optimizer().learningRate()).isEqualTo(1e-5);
    assertThat(rl.optimizer().schedule()).isEqualTo(OptimizerSettings.Schedule.COSINE);
    assertThat(rl.objective()).isEqualTo(PolicyObjective.defaults());
    assertThat(pipeline.stage("warm").optimizer().learningRate()).isEqualTo(2e-4);
    assertThat(pipeline.stage("opd").consults()).containsExactly("rl", "start");
    assertThat(pipeline.arms().get(1).title()).isEqualTo("replay");
    assertThat(pipeline.models().get("student").layers()).isEqualTo(2);
  }

  @Test
  void jsonIsReadToo() {
    String json = PipelineTree.of(parse(SMALL)).json();
    assertThat(PipelineFile.parse("my.json", json)).isEqualTo(parse(SMALL));
  }

  @ParameterizedTest
  @ValueSource(strings = {"default", "quick"})
  void shippedPipelinesAreReadAndWrittenWithoutLoss(String name) {
    Pipeline pipeline = PipelineFile.shipped(name);
    String json = PipelineTree.of(pipeline).json();
    assertThat(PipelineFile.parse("again.json", json)).isEqualTo(pipeline);
    assertThat(pipeline.trainedStages()).isEqualTo(pipeline.stages());
  }

  @Test
  void defaultPipelineHasTheSevenArmsAndThreeSeeds() {
    Pipeline pipeline = PipelineFile.shipped("default");
    assertThat(pipeline.seeds()).hasSize(3);
    assertThat(pipeline.arms())
        .extracting(Arm::name)
        .containsExactly(
            "direct-grpo",
            "raw-bridge",
            "only-distillation",
            "only-forward-kl",
            "bridge",
            "bridge-grpo",
            "replay");
  }

  @ParameterizedTest
  @ValueSource(strings = {"default", "quick"})
  void directGrpoAndBridgeGrpoSpendTheSameNumberOfScoredRollouts(String name) {
    Pipeline pipeline = PipelineFile.shipped(name);
    assertThat(total(pipeline, "direct-grpo")).isEqualTo(total(pipeline, "bridge-grpo"));
  }

  private static long total(Pipeline pipeline, String name) {
    Arm arm = pipeline.arms().stream().filter(a -> a.name().equals(name)).findFirst().orElseThrow();
    return pipeline.scoredRollouts(arm).values().stream().mapToLong(Long::longValue).sum();
  }

  @Test
  void defaultValuesWrittenInTheShippedFileAreTheDefaults() {
    Pipeline shipped = PipelineFile.shipped("default");
    Grpo explicit = (Grpo) shipped.stage("teacher-rl");
    Grpo implicit = (Grpo) shipped.stage("direct-grpo");
    assertThat(explicit.objective()).isEqualTo(implicit.objective());
    assertThat(explicit.rollouts()).isEqualTo(implicit.rollouts());
    assertThat(explicit.optimizer()).isEqualTo(OptimizerSettings.defaults());
    assertThat(shipped.batching()).isEqualTo(BatchingSettings.defaults());
    assertThat(shipped.evaluation()).isEqualTo(EvaluationSettings.defaults());
    assertThat(shipped.models().get("teacher")).isEqualTo(ModelSettings.defaults());
    var bridge = (OnPolicyDistillation) shipped.stage("bridge");
    var raw = (OnPolicyDistillation) shipped.stage("raw-bridge");
    assertThat(bridge.divergence()).isEqualTo(raw.divergence());
    assertThat(bridge.jsdBeta()).isEqualTo(raw.jsdBeta());
    assertThat(bridge.importanceClip()).isEqualTo(raw.importanceClip());
    assertThat(parse(SMALL).data()).isEqualTo(shipped.data());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "seeds: [4, 7]       | sedes: [4]            | my.yaml:2: unknown key 'sedes'; did you mean 'seeds'?",
        "learningRate: 2e-4  | learning_rate: 2e-4   | my.yaml:6: unknown key 'learning_rate' in optimizer; did you mean 'learningRate'?",
        "learningRate: 2e-4  | learningRate: fast    | my.yaml:6: optimizer.learningRate is \"fast\", must be a number above 0.0",
        "learningRate: 2e-4  | learningRate: -1      | my.yaml:6: optimizer.learningRate is -1, must be a number above 0.0",
        "steps: 10           | stepz: 10             | my.yaml:12: unknown key 'stepz' in stages[rl]; did you mean 'steps'?",
        "steps: 10           | steps: 0              | my.yaml:12: stages[rl].steps is 0, must be a whole number of at least 1",
        "steps: 10           | steps: 1.5            | my.yaml:12: stages[rl].steps is 1.5, must be a whole number of at least 1",
        "steps: 10           | {}                    | my.yaml:11",
        "kind: grpo          | kind: grppo           | my.yaml:10: stages[rl].kind is 'grppo'; did you mean 'grpo'?",
        "samples: 4          | samples: 1            | my.yaml:13: stages[rl].rollouts has 1 sample; a group of at least 2 is compared",
        "from: start         | from: strat           | my.yaml: stage 'rl': from 'strat', which is neither an earlier stage nor a model; did you mean 'start'?",
        "from: start         | from: opd             | my.yaml: stage 'rl': from 'opd', a later stage; put that one first",
        "from: start         | from: rl              | my.yaml: stage 'rl': from 'rl', which is itself",
        "name: warm,         | name: rl,             | my.yaml: there are two stages named 'rl'",
        "name: warm,         | name: student,        | my.yaml: stage 'student' is called like a model",
        "name: warm,         | name: Warm Up,        | my.yaml: stage name 'Warm Up' must be lower-case",
        "repeats: opd        | repeats: rl           | my.yaml: stage 'again': repeats 'rl', which is no distillation stage",
        "result: opd         | result: odp           | my.yaml: arm 'bridge': its result is 'odp', which is no stage; did you mean 'opd'?",
        "width: 64           | width: 63             | my.yaml:4: models.teacher width is 63 with 4 heads; a head must be an even whole number of columns wide",
        "teachers: [rl, start] | teachers: []        | my.yaml:16: stages[opd].teachers is empty; at least one is needed",
        "teachers: [rl, start] | teachers: [rl], rewardScale: 1.25 | my.yaml:16: stages[opd].rewardScale is 1.25, which needs a reference to scale from",
        "seeds: [4, 7]       | seeds: [4, 4]         | my.yaml: seeds are [4, 4]; at least one, and each once, is needed",
        "seeds: [4, 7]       | seeds: 4              | my.yaml:2: seeds must be a list",
      })
  void mistakesAreNamedWithFileLineAndKey(String right, String wrong, String message) {
    assertThat(SMALL).contains(right);
    assertThatThrownBy(() -> parse(SMALL.replaceFirst(Pattern.quote(right), wrong)))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith(message)
        .message()
        .hasLineCount(1);
  }

  @Test
  void missingFilesAndBrokenTextsAreNamed() {
    assertThatThrownBy(() -> PipelineFile.read(Path.of("no/such.yaml")))
        .isInstanceOf(InputException.class)
        .hasMessage("no/such.yaml: no such file");
    assertThatThrownBy(() -> parse("name: [1, 2\nseeds: 3"))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith("my.yaml:2: ")
        .message()
        .hasLineCount(1);
    assertThatThrownBy(() -> parse("name: a\nname: b\n"))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith("my.yaml:2: Duplicate field 'name'");
    assertThatThrownBy(() -> parse("")).hasMessage("my.yaml: holds no keys");
  }

  @Test
  void lineageHoldsWhatAnArmNeedsAndNothingElse() {
    Pipeline pipeline = PipelineFile.shipped("default");
    assertThat(pipeline.lineage(pipeline.arms().get(1)))
        .extracting(Stage::name)
        .containsExactly("teacher-start", "student-start", "raw-warmup", "raw-bridge");
    assertThat(pipeline.modelOf("raw-bridge")).isEqualTo("student");
    assertThat(pipeline.scoredRollouts(pipeline.arms().get(5)))
        .containsExactly(Map.entry("teacher", 150L * 24 * 8), Map.entry("student", 75L * 64 * 8));
  }

  @Test
  void stagesThatLeadToNoArmAreNotTrained() {
    Pipeline pipeline = parse(SMALL.replace("  - {name: replay, result: again}\n", ""));
    assertThat(pipeline.trainedStages())
        .extracting(Stage::name)
        .containsExactly("start", "rl", "warm", "opd");
    assertThat(pipeline.usedModels()).containsExactly("teacher", "student");
  }

  @Test
  void equalPipelinesHaveEqualHashesAndDifferencesNameTheKeys() {
    PipelineTree before = PipelineTree.of(parse(SMALL));
    String comment = "# a comment changes nothing\n" + SMALL;
    assertThat(PipelineTree.of(parse(comment)).hash()).isEqualTo(before.hash()).hasSize(64);
    assertThat(before.differences(PipelineTree.of(parse(comment)))).isEmpty();

    String changed = SMALL.replace("steps: 10", "steps: 20").replace("width: 48", "width: 32");
    PipelineTree after = PipelineTree.of(parse(changed));
    assertThat(after.hash()).isNotEqualTo(before.hash());
    assertThat(before.differences(after))
        .containsExactly("models.student.width: 48 -> 32", "stages.rl.steps: 10 -> 20");
  }

  @Test
  void addedAndMovedStagesAreDifferences() {
    PipelineTree before = PipelineTree.of(parse(SMALL));
    String without = SMALL.replace("  - {name: replay, result: again}\n", "");
    List<String> differences = before.differences(PipelineTree.of(parse(without)));
    assertThat(differences)
        .containsExactly(
            "arms.(order): [bridge, replay] -> [bridge]",
            "arms.replay.name: \"replay\" -> absent",
            "arms.replay.result: \"again\" -> absent",
            "arms.replay.title: \"replay\" -> absent");
    PipelineTree recorded = PipelineTree.parse(before.json(), "config.json");
    assertThat(recorded.hash()).isEqualTo(before.hash());
  }
}
