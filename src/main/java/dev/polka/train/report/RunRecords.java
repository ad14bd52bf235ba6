package dev.polka.train.report;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * What {@link RunLog} has written, read back.
 *
 * @param steps the training steps, in order
 * @param evaluations the evaluations, in order
 * @param timings the times of the steps, in order
 */
public record RunRecords(
    List<StepMetrics> steps, List<Evaluation> evaluations, List<StepTiming> timings) {
  static final String STEP = "step";
  static final String EVALUATION = "evaluation";
  private static final ObjectMapper JSON = new ObjectMapper();

  /**
   * Checks the values.
   *
   * @param steps the training steps
   * @param evaluations the evaluations
   * @param timings the times of the steps
   */
  public RunRecords {
    steps = List.copyOf(steps);
    evaluations = List.copyOf(evaluations);
    timings = List.copyOf(timings);
  }

  /**
   * Reads both logs.
   *
   * @param metrics path of {@code metrics.jsonl}
   * @param timing path of {@code timing.jsonl}
   * @return the records
   * @throws IOException if a file is missing or a line is not what {@link RunLog} writes
   */
  public static RunRecords read(Path metrics, Path timing) throws IOException {
    List<StepMetrics> steps = new ArrayList<>();
    List<Evaluation> evaluations = new ArrayList<>();
    for (String line : Files.readAllLines(metrics)) {
      JsonNode node = JSON.readTree(line);
      switch (node.path("type").asText()) {
        case STEP -> steps.add(step(node));
        case EVALUATION -> evaluations.add(evaluation(node));
        default -> throw new IOException(metrics + ": has a line of an unknown type: " + line);
      }
    }
    List<StepTiming> timings = new ArrayList<>();
    for (String line : Files.readAllLines(timing)) {
      timings.add(timing(JSON.readTree(line)));
    }
    return new RunRecords(steps, evaluations, timings);
  }

  private static StepMetrics step(JsonNode node) {
    Map<Metric, Double> values = new EnumMap<>(Metric.class);
    for (Metric metric : Metric.values()) {
      if (node.has(metric.key())) {
        values.put(metric, number(node.get(metric.key())));
      }
    }
    return new StepMetrics(
        node.path("seed").asLong(),
        node.path("stage").asText(),
        node.path("step").asLong(),
        values);
  }

  private static Evaluation evaluation(JsonNode node) {
    return new Evaluation(
        node.path("seed").asLong(),
        node.path("stage").asText(),
        node.path("step").asLong(),
        node.path("last").asBoolean(),
        node.path("problems").asInt(),
        node.path("samples").asInt(),
        number(node.path("score")));
  }

  private static StepTiming timing(JsonNode node) {
    Map<Phase, Double> phases = new EnumMap<>(Phase.class);
    for (Phase phase : Phase.values()) {
      if (node.has(phase.key())) {
        phases.put(phase, number(node.get(phase.key())));
      }
    }
    return new StepTiming(
        node.path("seed").asLong(),
        node.path("stage").asText(),
        node.path("step").asLong(),
        number(node.path("seconds")),
        phases,
        node.path("tokens").asLong());
  }

  private static double number(JsonNode node) {
    return node.isTextual() ? Double.parseDouble(node.textValue()) : node.doubleValue();
  }
}
