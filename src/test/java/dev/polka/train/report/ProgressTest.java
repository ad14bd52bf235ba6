package dev.polka.train.report;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.train.config.Grpo;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class ProgressTest {
  private static final List<StageRun> PLAN = StageRun.plan(PipelineFile.shipped("quick"));

  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
  private final PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);

  private static StepMetrics metrics(StageRun run, long step) {
    return StepMetrics.of(run.seed(), run.stage(), step)
        .with(Metric.REWARD, 0.4312)
        .with(Metric.KL, 0.0121)
        .with(Metric.ENTROPY, 0.8)
        .with(Metric.CLIP_FRACTION, 0.012)
        .with(Metric.ZERO_ADVANTAGE_GROUPS, 0.35)
        .with(Metric.LEARNING_RATE, 3e-4);
  }

  private static StepTiming timing(StageRun run, long step) {
    return new StepTiming(run.seed(), run.stage(), step, 0.5, Map.of(), 6_000);
  }

  private List<String> lines() {
    return bytes.toString(StandardCharsets.UTF_8).lines().toList();
  }

  @Test
  void withoutATerminalThereIsOneLineEveryTenSecondsAndOneAtTheEnd() {
    var now = new AtomicLong();
    StageRun run = PLAN.get(2);
    try (Progress progress = new LineProgress(new TimePrediction(PLAN), out, now::get)) {
      progress.begin(run, 0);
      for (long step = 1; step <= 50; step++) { // half a second each: 25 seconds
        now.addAndGet(500_000_000L);
        progress.step(metrics(run, step), timing(run, step));
      }
      progress.end("score 0.912 on 400 problems");
    }
    assertThat(lines()).hasSize(3);
    assertThat(lines().get(0))
        .startsWith("[3/16] seed 1 teacher-rl 20/100  about ")
        .endsWith(
            " left  reward 0.431  kl 0.012  entropy 0.800  clip 1%  0-adv groups 35%  12k tok/s");
    assertThat(lines().get(1)).startsWith("[3/16] seed 1 teacher-rl 40/100  ");
    assertThat(lines().get(2))
        .isEqualTo("[3/16] seed 1 teacher-rl done in 25 s: score 0.912 on 400 problems");
  }

  @Test
  void tenSecondsAreCountedAcrossShortStages() {
    var now = new AtomicLong();
    try (Progress progress = new LineProgress(new TimePrediction(PLAN), out, now::get)) {
      for (StageRun run : PLAN.subList(0, 4)) {
        progress.begin(run, 0);
        now.addAndGet(6_000_000_000L);
        progress.step(metrics(run, 1), timing(run, 1));
        progress.end("");
      }
    }
    assertThat(lines()).filteredOn(line -> !line.contains("done in")).hasSize(2);
  }

  @Test
  void barShowsAsManyWholeValuesAsFit() {
    String values = "about 58 s left  reward 0.431  kl 0.012";
    assertThat(BarProgress.render("[3/16] seed 1 rl", 30, 120, values, 200))
        .isEqualTo(
            "[3/16] seed 1 rl [####------------] 30/120  about 58 s left  reward 0.431  kl 0.012");
    assertThat(BarProgress.render("[3/16] seed 1 rl", 30, 120, values, 75))
        .isEqualTo("[3/16] seed 1 rl [####------------] 30/120  about 58 s left  reward 0.431");
    assertThat(BarProgress.render("[3/16] seed 1 rl", 120, 120, values, 20)).hasSize(20);
  }

  @Test
  void eightyColumnsHaveEveryValueOfAReinforcementStage() {
    for (String shipped : List.of("quick", "default")) {
      Pipeline pipeline = PipelineFile.shipped(shipped);
      List<StageRun> plan = StageRun.plan(pipeline);
      for (StageRun run : plan) {
        if (pipeline.stage(run.stage()) instanceof Grpo) {
          StepText text = new StepText(new TimePrediction(plan));
          text.begin(run);
          StepMetrics full =
              metrics(run, run.steps()).with(Metric.LOSS, -0.0123).with(Metric.GRADIENT_NORM, 1.5);
          text.step(full, timing(run, run.steps()));
          var narrow = new BarProgress.Narrow(text.narrowHead(), text.narrow());
          assertThat(BarProgress.renderNarrow(narrow, run.steps(), run.steps(), 80))
              .hasSizeLessThanOrEqualTo(80)
              .startsWith(run.index() + "/" + plan.size() + " s" + run.seed() + " ")
              .contains(run.stage().substring(0, 6))
              .contains(run.steps() + "/" + run.steps())
              .contains("rew 0.431 kl 0.012 ent 0.800 clip 1% 0-adv 35% 12kt/s");
          assertThat(BarProgress.renderNarrow(narrow, 1, run.steps(), 20)).hasSizeBetween(12, 20);
        }
      }
    }
  }

  @Test
  void barEndsInOneLinePerStage() {
    StageRun run = PLAN.get(2);
    try (Progress progress = new BarProgress(new TimePrediction(PLAN), out)) {
      progress.begin(run, 10);
      progress.step(metrics(run, 11), timing(run, 11));
      progress.end("score 0.5");
      progress.say("evaluated");
    }
    assertThat(lines())
        .containsExactly("[3/16] seed 1 teacher-rl done in 1 s: score 0.5", "evaluated");
  }
}
