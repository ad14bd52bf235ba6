package dev.polka.train.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TimeTest {
  private static final Pipeline QUICK = PipelineFile.shipped("quick");
  private static final List<StageRun> PLAN = StageRun.plan(QUICK);

  @Test
  void planHoldsEveryStageOfEverySeed() {
    assertThat(PLAN).hasSize(16);
    assertThat(PLAN.get(8).seed()).isEqualTo(2);
    assertThat(PLAN.get(8).stage()).isEqualTo("teacher-start");
    assertThat(PLAN.get(15).index()).isEqualTo(16);
    assertThat(PLAN).allMatch(run -> run.of() == 16);
  }

  @Test
  void nestedPhasesAreCountedOnce() {
    var now = new AtomicLong();
    StepTimer timer = StepTimer.start(now::get);
    now.addAndGet(1_000_000_000L);
    timer.run(
        Phase.FORWARD_BACKWARD,
        () -> {
          now.addAndGet(2_000_000_000L);
          timer.run(Phase.LOSS, () -> now.addAndGet(3_000_000_000L));
          now.addAndGet(4_000_000_000L);
        });
    StepTiming timing = timer.finish(1, "s", 5, 70);
    assertThat(timing.seconds()).isEqualTo(10);
    assertThat(timing.phases()).isEqualTo(Map.of(Phase.FORWARD_BACKWARD, 6.0, Phase.LOSS, 3.0));
    assertThat(timing.tokens()).isEqualTo(70);
  }

  @Test
  void sharesAddUpToOneWithTheRest() {
    var step = new StepTiming(1, "s", 1, 10, Map.of(Phase.LOSS, 3.0, Phase.GENERATION, 5.0), 0);
    TimeShares shares = TimeShares.of(List.of(step, step));
    assertThat(shares.seconds()).isEqualTo(20);
    assertThat(shares.shares().get("loss kernels")).isCloseTo(0.3, within(1e-12));
    assertThat(shares.shares().get("other")).isCloseTo(0.2, within(1e-12));
    assertThat(shares.shares().values().stream().mapToDouble(d -> d).sum())
        .isCloseTo(1, within(1e-12));
    assertThat(TimeShares.of(List.of()).shares().get("other")).isZero();
  }

  @Test
  void timeLeftComesFromTheStagesOwnStepsOrThoseOfItsKind() {
    TimePrediction prediction = new TimePrediction(PLAN);
    StageRun teacherStart = PLAN.get(0);
    assertThat(prediction.secondsLeft(teacherStart, 0)).isEmpty();
    prediction.observe(teacherStart, 5.0); // the first step is slow
    prediction.observe(teacherStart, 0.1);
    prediction.observe(teacherStart, 0.1);
    long steps = PLAN.stream().mapToLong(StageRun::steps).sum();
    assertThat(prediction.secondsLeft(teacherStart, 3).getAsDouble())
        .isCloseTo(0.1 * (steps - 3), within(1e-6));

    StageRun last = PLAN.get(15); // bridge-grpo of seed 2: a student's GRPO
    StageRun direct = PLAN.stream().filter(r -> r.stage().equals("direct-grpo")).findFirst().get();
    prediction.observe(direct, 0.7);
    prediction.observe(direct, 0.7);
    assertThat(prediction.secondsLeft(last, 10).getAsDouble())
        .isCloseTo(0.7 * (last.steps() - 10), within(1e-6));
  }

  @ParameterizedTest
  @CsvSource({
    "0.4, 0 s",
    "45, 45 s",
    "200, 3 min 20 s",
    "605, 10 min",
    "3599, 1 h 00 min",
    "7500, 2 h 05 min"
  })
  void timesAreShownAsPeopleSayThem(double seconds, String text) {
    assertThat(TimePrediction.shown(seconds)).isEqualTo(text);
  }
}
