package dev.polka.train.report;

import dev.polka.train.config.Pipeline;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/** What a run has shown, and what to do with it, in sentences. */
final class Findings {
  private Findings() {}

  /** What happened. */
  static List<String> of(Pipeline pipeline, ArmTable table, StageTable stages) {
    List<String> findings = new ArrayList<>();
    if (table.seeds().isEmpty()) {
      findings.add("No seed has finished every arm yet, so there is nothing to compare.");
      return findings;
    }
    ArmTable.Row first = table.rows().get(0);
    ArmTable.Row best =
        table.rows().stream().max(Comparator.comparing(row -> row.scores().mean())).orElseThrow();
    findings.add(
        String.format(
            "The best arm is \u201C%s\u201D with a score of %s on %d held-out problems.",
            best.arm().title(), best.scores().text(false), pipeline.evaluation().problems()));
    if (best != first) {
      findings.add(
          String.format(
              "\u201C%s\u201D reaches %s; seed by seed the best arm is ahead of it by %s.",
              first.arm().title(), first.scores().text(false), best.gain().text(true)));
    }
    for (ArmTable.Row row : table.rows()) {
      if (row != first && row != best) {
        long ahead = row.gain().values().stream().filter(gain -> gain > 0).count();
        findings.add(
            String.format(
                "\u201C%s\u201D beats \u201C%s\u201D in %d of %d seeds (%s).",
                row.arm().title(),
                first.arm().title(),
                ahead,
                table.seeds().size(),
                row.gain().text(true)));
      }
    }
    for (StageTable.Row row : stages.rows()) {
      if (!row.idle().isEmpty()) {
        findings.add(
            String.format(
                "In %s the share of groups that taught nothing went from %s, the reward from %s.",
                row.stage().name(), inWords(row.idle()), inWords(row.reward())));
      }
    }
    return findings;
  }

  private static String inWords(String fromTo) {
    return fromTo.replace("\u2192", "to");
  }

  /**
   * What to do next, as commands with a reason.
   *
   * @param config the option that names the configuration and a blank, or nothing
   */
  static List<String[]> next(Pipeline pipeline, ArmTable table, String config) {
    List<String[]> next = new ArrayList<>();
    boolean quick = pipeline.name().equals("quick");
    if (quick) {
      next.add(
          new String[] {
            "./polka train", "the whole comparison: seven arms, three seeds, standard errors"
          });
    }
    if (table.seeds().size() < 8) {
      next.add(
          new String[] {
            "./polka train " + config + "--seeds 1-8",
            "more seeds: differences that two or three cannot settle"
          });
    }
    next.add(
        new String[] {
          "./polka train --quick --data problems.jsonl",
          "your own problems, one {\"prompt\": ..., \"answer\": ...} a line"
        });
    next.add(
        new String[] {
          "./polka train --show-config > my.yaml",
          "every constant with an explanation, to change and run with --config my.yaml"
        });
    return next;
  }

  /** The same for a terminal. */
  static String nextText(Pipeline pipeline, ArmTable table, String config) {
    StringBuilder text = new StringBuilder("next:\n");
    for (String[] step : next(pipeline, table, config)) {
      text.append(String.format(Locale.ROOT, "  %-44s %s%n", step[0], step[1]));
    }
    return text.toString();
  }
}
