package dev.polka.train.report;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Where the time of all training steps went.
 *
 * @param seconds of all steps together
 * @param shares in [0, 1] by what a person reads, the rest included; they add up to 1
 */
public record TimeShares(double seconds, Map<String, Double> shares) {
  /**
   * Adds up steps.
   *
   * @param timings the steps
   * @return the shares; all zero if there are no steps
   */
  public static TimeShares of(List<StepTiming> timings) {
    double total = timings.stream().mapToDouble(StepTiming::seconds).sum();
    Map<String, Double> shares = new LinkedHashMap<>();
    double rest = total;
    for (Phase phase : Phase.values()) {
      double seconds =
          timings.stream().mapToDouble(step -> step.phases().getOrDefault(phase, 0.0)).sum();
      shares.put(phase.label(), total == 0 ? 0 : seconds / total);
      rest -= seconds;
    }
    shares.put("other", total == 0 ? 0 : Math.max(0, rest / total));
    return new TimeShares(total, shares);
  }

  /**
   * The shares on one line.
   *
   * @return such as {@code time in training steps 93 s: generation 41%, ...}
   */
  public String text() {
    return "time in training steps "
        + TimePrediction.shown(seconds)
        + ": "
        + shares.entrySet().stream()
            .map(e -> String.format(Locale.ROOT, "%s %.0f%%", e.getKey(), 100 * e.getValue()))
            .collect(Collectors.joining(", "));
  }
}
