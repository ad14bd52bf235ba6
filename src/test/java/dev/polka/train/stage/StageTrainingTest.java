package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polka.train.report.Metric;
import dev.polka.train.report.StepMetrics;
import dev.polka.train.report.StepTiming;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StageTrainingTest {
  @TempDir Path folder;

  @Test
  void supervisedStageLearnsItsSolutions() throws IOException {
    List<Double> loss =
        trace(
            Metric.LOSS,
            "{name: x, kind: supervised-warm-start, from: student, steps: 60, batch: 32}");
    assertThat(last(loss)).isLessThan(0.7 * first(loss));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        ", updatesPerStep: 2, objective: {advantage: rloo, average: sequences}",
        ", objective: {advantage: dr-grpo, average: constant, klCoefficient: 0.001, dualClip: 0}"
      })
  void reinforcementRaisesTheReward(String settings) throws IOException {
    Path problems = folder.resolve("problems.jsonl");
    for (int i = 0; i < 40; i++) {
      String line = "{\"prompt\": \"" + Integer.toBinaryString(16 + i) + "\", \"answer\": \"1\"}\n";
      Files.writeString(problems, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }
    String text =
        pipeline(
                "{name: x, kind: grpo, from: student, steps: 40, rollouts: {prompts: 8, samples: 8}"
                    + settings
                    + "}")
            .replace(
                "{arithmetic: {minDigits: 1, maxDigits: 2}}",
                "{file: " + problems + ", template: \"{prompt}=\"}")
            .replace("problems: 20", "problems: 2");
    List<Double> reward = trace(Metric.REWARD, TinyRun.of(text));
    assertThat(last(reward)).isGreaterThan(first(reward) + 0.3);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "kind: forward-kl-warmup, teacher: teacher",
        "kind: on-policy-distillation, teachers: [teacher]",
        "kind: on-policy-distillation, teachers: [teacher, second]",
        "kind: on-policy-distillation, teachers: [teacher], divergence: forward-kl",
        "kind: on-policy-distillation, teachers: [teacher], divergence: jsd, jsdBeta: 0.3",
        "kind: on-policy-distillation, teachers: [teacher], divergence: sampled-token",
        "kind: on-policy-distillation, teachers: [teacher], rewardScale: 1.3, reference: second"
      })
  void distillationBringsTheStudentTowardsTheTeacher(String kind) throws IOException {
    List<Double> kl = trace(Metric.KL, distilling(kind, 60));
    assertThat(last(kl)).isLessThan(0.6 * first(kl)).isGreaterThan(0);
  }

  @Test
  void rewardScaleExtrapolatesFromTheReference() throws IOException {
    String opd = "kind: on-policy-distillation, teachers: [teacher]";
    double plain = trace(Metric.KL, distilling(opd, 1)).get(0);
    // From the teacher to itself nothing is extrapolated; from the student, half way is nearer.
    double itself =
        trace(Metric.KL, distilling(opd + ", rewardScale: 3, reference: teacher", 1)).get(0);
    double half =
        trace(Metric.KL, distilling(opd + ", rewardScale: 0.5, reference: student", 1)).get(0);
    assertThat(itself).isCloseTo(plain, within(1e-5));
    assertThat(half).isLessThan(0.5 * plain).isGreaterThan(0);
  }

  @Test
  void theSameTeacherTwiceIsThatTeacher() throws IOException {
    String one = "kind: on-policy-distillation, teachers: [teacher]";
    String two = "kind: on-policy-distillation, teachers: [teacher, teacher]";
    assertThat(trace(Metric.KL, distilling(two, 3)))
        .isEqualTo(trace(Metric.KL, distilling(one, 3)));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 50})
  void whatIsSampledDoesNotDependOnTheRowsGeneratedTogether(int rows) throws IOException {
    TinyRun.everyKind(3).in(folder.resolve("many"));
    batching("generationRows: " + rows).in(folder.resolve("few"));
    assertThat(folder.resolve("few/metrics.jsonl"))
        .hasSameTextualContentAs(folder.resolve("many/metrics.jsonl"));
  }

  /**
   * Gradients differ by rounding ({@link UpdaterTest} bounds that); AdamW divides each by its own
   * size, so where one is near 0 the rounding shows in the weights, and more so step by step.
   */
  @Test
  void aStepDependsOnTheMicroBatchesByRoundingOnly() throws IOException {
    List<StepMetrics> whole = run(TinyRun.everyKind(3), "whole");
    List<StepMetrics> parts = run(batching("microBatchTokens: 25"), "parts");
    for (int i = 0; i < whole.size(); i++) {
      for (Metric metric : whole.get(i).values().keySet()) {
        if (metric != Metric.PADDED_SHARE) {
          assertThat(parts.get(i).values().get(metric))
              .as("%s of step %s", metric, i)
              .isCloseTo(whole.get(i).values().get(metric), within(1e-3));
        }
      }
      assertThat(parts.get(i).values().get(Metric.RESPONSE_TOKENS))
          .isEqualTo(whole.get(i).values().get(Metric.RESPONSE_TOKENS));
    }
  }

  private static TinyRun batching(String setting) {
    return TinyRun.everyKind(3, "batching: {" + setting + "}\n");
  }

  private static TinyRun distilling(String kind, int steps) {
    return TinyRun.of(
        pipeline(
            "{name: x, from: student, steps: "
                + steps
                + ", rollouts: {prompts: 24}, "
                + kind
                + "}"));
  }

  private static String pipeline(String stage) {
    return """
        name: tiny
        seeds: [7]
        data: {arithmetic: {minDigits: 1, maxDigits: 2}}
        models:
          teacher: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32}
          second: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32}
          student: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32}
        optimizer: {learningRate: 1.0e-2, warmupSteps: 0}
        evaluation: {problems: 20}
        stages: [STAGE]
        arms: [{name: x, result: x}]
        """
        .replace("STAGE", stage);
  }

  private List<Double> trace(Metric metric, String stage) throws IOException {
    return trace(metric, TinyRun.of(pipeline(stage)));
  }

  private List<Double> trace(Metric metric, TinyRun run) throws IOException {
    return run(run, "run" + System.nanoTime()).stream().map(s -> s.values().get(metric)).toList();
  }

  private List<StepMetrics> run(TinyRun run, String name) throws IOException {
    List<StepMetrics> steps = new ArrayList<>();
    run.checkpointingEvery(1000)
        .in(
            folder.resolve(name),
            new TinyRun.Watching() {
              @Override
              public void step(StepMetrics metrics, StepTiming timing) {
                steps.add(metrics);
              }
            });
    return steps;
  }

  private static double first(List<Double> values) {
    return mean(values.subList(0, 5));
  }

  private static double last(List<Double> values) {
    return mean(values.subList(values.size() - 5, values.size()));
  }

  private static double mean(List<Double> values) {
    return values.stream().mapToDouble(v -> v).average().orElseThrow();
  }
}
