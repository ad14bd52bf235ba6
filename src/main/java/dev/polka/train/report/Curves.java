package dev.polka.train.report;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A metric over the steps of stages: mean over seeds, smoothed by a centred moving average.
 *
 * @param byStage one curve per stage that has the metric, in training order
 * @param window steps that are averaged
 */
record Curves(Map<String, Curve> byStage, int window) {
  /**
   * Points of a curve.
   *
   * @param steps the steps
   * @param values the values
   */
  record Curve(List<Double> steps, List<Double> values) {}

  // A plot is some 800 pixels wide; more points only make the file larger.
  private static final int MOST_POINTS = 400;

  static Curves of(List<StepMetrics> metrics, Metric metric, List<String> stages) {
    Map<String, TreeMap<Long, List<Double>>> values = new LinkedHashMap<>();
    stages.forEach(stage -> values.put(stage, new TreeMap<>()));
    long longest = 0;
    for (StepMetrics step : metrics) {
      Double value = step.values().get(metric);
      if (values.containsKey(step.stage()) && value != null && Double.isFinite(value)) {
        values.get(step.stage()).computeIfAbsent(step.step(), s -> new ArrayList<>()).add(value);
        longest = Math.max(longest, step.step());
      }
    }
    int window = (int) Math.max(1, longest / 30);
    Map<String, Curve> curves = new LinkedHashMap<>();
    values.forEach(
        (stage, bySteps) -> {
          if (!bySteps.isEmpty()) {
            curves.put(stage, curve(bySteps, window));
          }
        });
    return new Curves(curves, window);
  }

  private static Curve curve(TreeMap<Long, List<Double>> bySteps, int window) {
    List<Double> steps = new ArrayList<>();
    List<Double> values = new ArrayList<>();
    long stride = Math.max(1, bySteps.size() / MOST_POINTS);
    long index = 0;
    for (long step : bySteps.keySet()) {
      if (index++ % stride == 0 || step == bySteps.lastKey()) {
        steps.add((double) step);
        values.add(
            bySteps.subMap(step - window / 2, true, step + window / 2, true).values().stream()
                .flatMap(List::stream)
                .mapToDouble(Double::doubleValue)
                .average()
                .orElseThrow());
      }
    }
    return new Curve(steps, values);
  }
}
