package dev.polka.train.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.train.config.Arm;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RunReportTest {
  private static final String LOSSES = "a test";
  private static final Pipeline QUICK = PipelineFile.shipped("quick");
  private static final Pipeline DEFAULT = PipelineFile.shipped("default");

  @TempDir Path folder;

  @Test
  void threeSeedsHaveAStandardErrorAndTwoAreBothShown() {
    var three = new SeedScores(List.of(0.5, 0.6, 0.7));
    assertThat(three.mean()).isCloseTo(0.6, within(1e-12));
    // sample standard deviation 0.1, over the root of 3
    assertThat(three.standardError().getAsDouble()).isCloseTo(0.1 / Math.sqrt(3), within(1e-12));
    assertThat(three.text(false)).isEqualTo("0.600 \u00B1 0.058");
    assertThat(three.text(true)).isEqualTo("+0.600 \u00B1 0.058");
    var two = new SeedScores(List.of(0.5, 0.75));
    assertThat(two.standardError()).isEmpty();
    assertThat(two.text(false)).isEqualTo("0.500, 0.750");
    assertThat(new SeedScores(List.of()).text(false)).isEqualTo("not finished");
  }

  @Test
  void differencesArePairedBySeed() {
    var one = new SeedScores(List.of(0.5, 0.9, 0.7));
    var other = new SeedScores(List.of(0.4, 0.8, 0.6));
    assertThat(one.minus(other).mean()).isCloseTo(0.1, within(1e-12));
    assertThat(one.minus(other).standardError().getAsDouble()).isCloseTo(0, within(1e-12));
    assertThatThrownBy(() -> one.minus(new SeedScores(List.of(1.0))))
        .hasMessage("there are 3 and 1 values");
  }

  @Test
  void tableShowsEveryArmWithItsScoreGainAndBudget() {
    List<Evaluation> evaluations = new ArrayList<>();
    for (long seed : List.of(1L, 2L)) {
      evaluations.add(new Evaluation(seed, "direct-grpo-fresh", 40, true, 400, 1, 0.25 * seed));
      evaluations.add(new Evaluation(seed, "bridge", 50, false, 400, 1, 0.1));
      evaluations.add(new Evaluation(seed, "bridge", 100, true, 400, 1, 0.75));
      evaluations.add(new Evaluation(seed, "bridge-grpo", 40, true, 400, 1, 0.875));
    }
    assertThat(ArmTable.of(QUICK, evaluations).text())
        .isEqualTo(
            """
            arm                         score         gain            scored rollouts per seed
            direct GRPO on the student  0.250, 0.500                  39,680 (39,680 student)
            bridge from the RL teacher  0.750, 0.750  +0.500, +0.250  19,200 (19,200 teacher)
            bridge + GRPO               0.875, 0.875  +0.625, +0.375  39,680 (19,200 teacher + 20,480 student)
            both values of seeds 1 and 2; gain: minus "direct GRPO on the student", seed by seed
            """);
  }

  @Test
  void onlySeedsThatFinishedEveryArmAreCompared() {
    List<Evaluation> evaluations = new ArrayList<>();
    for (Arm arm : QUICK.arms()) {
      evaluations.add(new Evaluation(1, arm.result(), 60, true, 400, 1, 0.5));
    }
    evaluations.add(new Evaluation(2, "bridge", 60, true, 400, 1, 0.9));
    ArmTable table = ArmTable.of(QUICK, evaluations);
    assertThat(table.seeds()).containsExactly(1L);
    assertThat(table.text()).contains("one seed: 1").doesNotContain("0.9");
    assertThat(ArmTable.of(QUICK, List.of()).text()).contains("no seed is finished yet");
  }

  @Test
  void curvesAreMeansOverSeedsAndNeighbouringSteps() {
    List<StepMetrics> steps = new ArrayList<>();
    for (long seed = 1; seed <= 2; seed++) {
      for (long step = 1; step <= 90; step++) {
        steps.add(StepMetrics.of(seed, "rl", step).with(Metric.REWARD, 10 * seed + step % 3));
      }
    }
    Curves curves = Curves.of(steps, Metric.REWARD, List.of("rl", "absent"));
    assertThat(curves.byStage()).containsOnlyKeys("rl");
    assertThat(curves.window()).isEqualTo(3);
    assertThat(curves.byStage().get("rl").values().subList(1, 89))
        .allSatisfy(value -> assertThat(value).isCloseTo(16, within(1e-9)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"quick", "default"})
  void reportIsOneFileThatNeedsNothingElse(String name) throws IOException {
    Pipeline pipeline = PipelineFile.shipped(name);
    RunReport report = RunReport.write(folder, pipeline, SyntheticRun.of(pipeline), LOSSES);
    assertThat(report.warnings()).isEmpty();
    String html = Files.readString(report.page());
    for (Arm arm : pipeline.arms()) {
      assertThat(html).contains(arm.title());
    }
    assertThat(html)
        .contains("What happened", "What to do next", "Where the time went")
        .doesNotContain("http://", "https://", "<script", "<link", "src=\"plots");
    for (String plot : List.of("scores", "reward", "idle-groups", "kl", "entropy")) {
      var image = ImageIO.read(folder.resolve("plots/" + plot + ".png").toFile());
      assertThat(image.getWidth()).as(plot).isGreaterThan(1_000);
    }
    assertThat(report.text()).contains("time in training steps", "generation 40%", "next:");
  }

  @Test
  void reportOfARunThatHasJustBegunSaysSo() throws IOException {
    RunReport report =
        RunReport.write(folder, DEFAULT, new RunRecords(List.of(), List.of(), List.of()), LOSSES);
    assertThat(Files.readString(report.page())).contains("No seed has finished every arm yet");
    assertThat(report.warnings()).isEmpty();
  }

  @Test
  void titlesAreEscaped() throws IOException {
    Pipeline odd =
        new Pipeline(
            "a<b",
            QUICK.seeds(),
            QUICK.data(),
            QUICK.models(),
            QUICK.batching(),
            QUICK.loss(),
            QUICK.evaluation(),
            QUICK.stages(),
            List.of(new Arm("x", "<script>alert(1)</script> & co", "bridge")));
    RunReport report = RunReport.write(folder, odd, SyntheticRun.of(odd), LOSSES);
    assertThat(Files.readString(report.page()))
        .contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; co", "a&lt;b")
        .doesNotContain("<script>");
  }
}
