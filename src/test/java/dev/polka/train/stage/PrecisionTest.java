package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polka.train.report.Metric;
import dev.polka.train.report.SeedScores;
import dev.polka.train.report.StepMetrics;
import dev.polka.train.report.StepTiming;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training with bf16 activations ends where training in f32 does. */
class PrecisionTest {
  private static final int STEPS = 200;

  @TempDir Path folder;

  @Test
  void twoHundredStepsInBf16EndWithinTwoStandardErrorsOfF32() throws IOException {
    SeedScores f32 = losses("f32");
    SeedScores bf16 = losses("bf16");

    assertThat(f32.mean()).as("learnt").isLessThan(1.6); // from ln 13 = 2.56
    assertThat(bf16.values()).isNotEqualTo(f32.values());
    assertThat(bf16.mean()).isCloseTo(f32.mean(), within(2 * f32.standardError().getAsDouble()));
  }

  /** Mean loss over the last twenty steps, seed by seed. */
  private SeedScores losses(String precision) throws IOException {
    Map<Long, List<Double>> losses = new TreeMap<>();
    TinyRun.of(
            """
            name: precision
            seeds: [1, 2, 3, 4, 5]
            data: {arithmetic: {minDigits: 1, maxDigits: 2}}
            models:
              student: {width: 16, layers: 2, heads: 2, keyValueHeads: 1, feedForward: 32, precision: P}
            optimizer: {learningRate: 3.0e-3}
            evaluation: {problems: 10}
            stages: [{name: warm, kind: supervised-warm-start, from: student, steps: N, batch: 32}]
            arms: [{name: warm, result: warm}]
            """
                .replace("P}", precision + "}")
                .replace("N,", STEPS + ","))
        .checkpointingEvery(STEPS)
        .in(
            folder.resolve(precision),
            new TinyRun.Watching() {
              @Override
              public void step(StepMetrics metrics, StepTiming timing) {
                if (metrics.step() > STEPS - 20) {
                  losses
                      .computeIfAbsent(metrics.seed(), seed -> new ArrayList<>())
                      .add(metrics.values().get(Metric.LOSS));
                }
              }
            });
    return new SeedScores(
        losses.values().stream()
            .map(own -> own.stream().mapToDouble(loss -> loss).average().orElseThrow())
            .toList());
  }
}
