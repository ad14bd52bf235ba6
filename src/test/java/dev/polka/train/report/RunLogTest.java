package dev.polka.train.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RunLogTest {
  @TempDir Path folder;

  private RunLog open(long metrics, long timing) throws IOException {
    return RunLog.open(
        folder.resolve("metrics.jsonl"),
        folder.resolve("timing.jsonl"),
        new RunLog.Lengths(metrics, timing));
  }

  private static StepMetrics step(long step) {
    return StepMetrics.of(3, "teacher-rl", step)
        .with(Metric.REWARD, step / 3.0)
        .with(Metric.LOSS, -1e-7 * step)
        .with(Metric.CLIP_FRACTION, 0);
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0",
    "-0.0, 0",
    "1, 1",
    "0.1, 0.1",
    "0.333333333333333, 0.333333333",
    "3e-4, 0.0003",
    "1.5e-7, 1.5E-7",
    "123456789.87, 123456790",
    "1e15, 1000000000000000",
    "2e16, 2E+16",
    "-2.5, -2.5",
    "2e23, 2E+23"
  })
  void numbersHaveOneForm(double value, String text) {
    assertThat(JsonLine.number(value)).isEqualTo(text);
  }

  @Test
  void notANumberIsAText() {
    assertThat(JsonLine.number(Double.NaN)).isEqualTo("\"NaN\"");
    assertThat(JsonLine.number(Double.NEGATIVE_INFINITY)).isEqualTo("\"-Infinity\"");
  }

  @Test
  void everyFloatComesBackFromItsNineDigits() {
    for (int bits = 1; bits < 0x7F000000; bits += 7_919_113) {
      float value = Float.intBitsToFloat(bits);
      assertThat((float) Double.parseDouble(JsonLine.number(value))).isEqualTo(value);
    }
  }

  @Test
  void keysStandInOneOrderWhateverTheOrderTheyWereGivenIn() throws IOException {
    try (RunLog log = open(0, 0)) {
      log.write(step(3));
    }
    assertThat(folder.resolve("metrics.jsonl"))
        .hasContent(
            "{\"type\":\"step\",\"seed\":3,\"stage\":\"teacher-rl\",\"step\":3,"
                + "\"reward\":1,\"clipFraction\":0,\"loss\":-3E-7}");
  }

  @Test
  void whatIsWrittenIsReadBack() throws IOException {
    var evaluation = new Evaluation(3, "teacher-rl", 20, true, 500, 2, 0.912);
    var timing =
        new StepTiming(3, "teacher-rl", 1, 0.25, Map.of(Phase.LOSS, 0.05, Phase.OPTIMIZER, 0.1), 9);
    StepMetrics broken = StepMetrics.of(3, "bridge", 1).with(Metric.LOSS, Double.NaN);
    try (RunLog log = open(0, 0)) {
      log.write(step(3));
      log.write(broken);
      log.write(evaluation);
      log.write(timing);
    }
    RunRecords records =
        RunRecords.read(folder.resolve("metrics.jsonl"), folder.resolve("timing.jsonl"));
    assertThat(records.steps()).containsExactly(step(3), broken);
    assertThat(records.evaluations()).containsExactly(evaluation);
    assertThat(records.timings()).containsExactly(timing);
  }

  @Test
  void logCutAtACheckpointGoesOnAsIfNothingHadBeenAfterIt() throws IOException {
    try (RunLog log = open(0, 0)) {
      for (long step = 1; step <= 6; step++) {
        log.write(step(step));
      }
    }
    byte[] whole = Files.readAllBytes(folder.resolve("metrics.jsonl"));
    RunLog.Lengths lengths;
    try (RunLog log = open(0, 0)) {
      for (long step = 1; step <= 4; step++) {
        log.write(step(step));
      }
      lengths = log.lengths();
      log.write(step(5));
    }
    Files.writeString(
        folder.resolve("metrics.jsonl"),
        Files.readString(folder.resolve("metrics.jsonl")) + "{\"type\":\"st"); // killed in mid-line
    try (RunLog log = open(lengths.metrics(), lengths.timing())) {
      log.write(step(5));
      log.write(step(6));
    }
    assertThat(folder.resolve("metrics.jsonl")).hasBinaryContent(whole);
  }

  @Test
  void logShorterThanTheCheckpointSaysIsRefused() {
    assertThatThrownBy(() -> open(5, 0))
        .isInstanceOf(IOException.class)
        .hasMessageEndingWith("metrics.jsonl: is 0 bytes long, the checkpoint was written at 5");
  }
}
