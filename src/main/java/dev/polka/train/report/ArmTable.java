package dev.polka.train.report;

import dev.polka.train.config.Arm;
import dev.polka.train.config.Pipeline;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The outcome of a run: each arm's score on the same held-out problems, and what it cost.
 *
 * @param seeds the seeds that are finished in every arm; only they are compared
 * @param rows one per arm, in the order of the configuration
 */
public record ArmTable(List<Long> seeds, List<Row> rows) {
  /**
   * One arm.
   *
   * @param arm the arm
   * @param scores its scores, by seed
   * @param gain the paired differences to the first arm, by seed
   * @param scoredRollouts responses scored for training per seed, by model
   */
  public record Row(Arm arm, SeedScores scores, SeedScores gain, Map<String, Long> scoredRollouts) {
    /**
     * All scored rollouts of a seed.
     *
     * @return their number
     */
    public long totalRollouts() {
      return scoredRollouts.values().stream().mapToLong(Long::longValue).sum();
    }
  }

  /**
   * Checks the values.
   *
   * @param seeds the seeds that are finished in every arm
   * @param rows one per arm
   */
  public ArmTable {
    seeds = List.copyOf(seeds);
    rows = List.copyOf(rows);
  }

  /**
   * The table of a run, finished or not.
   *
   * @param pipeline the configuration
   * @param evaluations what has been evaluated
   * @return the table
   */
  public static ArmTable of(Pipeline pipeline, List<Evaluation> evaluations) {
    List<Long> finished =
        pipeline.seeds().stream()
            .filter(
                seed ->
                    pipeline.arms().stream()
                        .allMatch(arm -> score(evaluations, seed, arm.result()) != null))
            .toList();
    List<Row> rows = new ArrayList<>();
    for (Arm arm : pipeline.arms()) {
      var scores =
          new SeedScores(
              finished.stream().map(seed -> score(evaluations, seed, arm.result())).toList());
      SeedScores first = rows.isEmpty() ? scores : rows.get(0).scores();
      rows.add(new Row(arm, scores, scores.minus(first), pipeline.scoredRollouts(arm)));
    }
    return new ArmTable(finished, rows);
  }

  /** Score of a finished stage, or null. */
  static Double score(List<Evaluation> evaluations, long seed, String stage) {
    Double score = null;
    for (Evaluation evaluation : evaluations) {
      if (evaluation.seed() == seed && evaluation.stage().equals(stage) && evaluation.last()) {
        score = evaluation.score();
      }
    }
    return score;
  }

  /**
   * The table as text, for a terminal.
   *
   * @return lines, each with its end
   */
  public String text() {
    List<String[]> cells = new ArrayList<>();
    String first = rows.get(0).arm().title();
    cells.add(new String[] {"arm", "score", "gain", "scored rollouts per seed"});
    for (Row row : rows) {
      String gain = row == rows.get(0) ? "" : row.gain().text(true);
      cells.add(new String[] {row.arm().title(), row.scores().text(false), gain, budget(row)});
    }
    int[] widths = new int[4];
    for (String[] line : cells) {
      for (int i = 0; i < line.length; i++) {
        widths[i] = Math.max(widths[i], line[i].length());
      }
    }
    StringBuilder text = new StringBuilder();
    for (String[] line : cells) {
      StringBuilder padded = new StringBuilder();
      for (int i = 0; i < line.length; i++) {
        padded.append(line[i]).append(" ".repeat(widths[i] - line[i].length() + 2));
      }
      text.append(padded.toString().stripTrailing()).append('\n');
    }
    return text.append(legend())
        .append("; gain: minus \"")
        .append(first)
        .append("\", seed by seed\n")
        .toString();
  }

  /** How the numbers are to be read. */
  String legend() {
    return switch (seeds.size()) {
      case 0 -> "no seed is finished yet";
      case 1 -> "one seed: " + seeds.get(0);
      case 2 -> "both values of seeds " + seeds.get(0) + " and " + seeds.get(1);
      default ->
          "mean \u00B1 standard error over "
              + seeds.size()
              + " seeds ("
              + seeds.stream().map(String::valueOf).collect(Collectors.joining(", "))
              + ")";
    };
  }

  /** The rollouts of an arm by who wrote them. */
  static String budget(Row row) {
    String total = String.format(Locale.ROOT, "%,d", row.totalRollouts());
    if (row.scoredRollouts().isEmpty()) {
      return "none";
    }
    return total
        + row.scoredRollouts().entrySet().stream()
            .map(e -> String.format(Locale.ROOT, "%,d %s", e.getValue(), e.getKey()))
            .collect(Collectors.joining(" + ", " (", ")"));
  }
}
