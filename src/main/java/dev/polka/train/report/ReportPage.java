package dev.polka.train.report;

import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineTree;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Locale;

/** Puts {@code report.html} together: one file that needs nothing else. */
final class ReportPage {
  private final StringBuilder html = new StringBuilder();

  private ReportPage() {}

  /** A picture with what it shows. */
  record Picture(String title, String caption, Path file) {}

  static String of(
      Pipeline pipeline,
      ArmTable table,
      StageTable stages,
      TimeShares time,
      String work,
      List<String[]> next,
      List<Picture> pictures,
      List<String> warnings)
      throws IOException {
    var page = new ReportPage();
    page.head(pipeline, table);
    page.warnings(warnings);
    page.findings(Findings.of(pipeline, table, stages));
    page.arms(table, pictures);
    page.pictures(pictures);
    page.stages(stages);
    page.time(time, work);
    page.next(next);
    page.words();
    page.configuration(pipeline);
    page.html.append("</main></body></html>\n");
    return page.html.toString();
  }

  private void head(Pipeline pipeline, ArmTable table) throws IOException {
    html.append("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
        .append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .append("<title>Polka: ")
        .append(escaped(pipeline.name()))
        .append("</title>\n<style>\n")
        .append(style())
        .append("</style></head><body><main>\n<h1>")
        .append(escaped(pipeline.name()))
        .append("</h1>\n<p class=\"lead\">")
        .append(table.rows().size())
        .append(" ways to train the same student, ")
        .append(escaped(table.legend()))
        .append(". Every score is the mean over the same ")
        .append(pipeline.evaluation().problems())
        .append(" held-out problems that no stage has trained on.</p>\n");
  }

  private void warnings(List<String> warnings) {
    for (String warning : warnings) {
      html.append("<p class=\"warning\">").append(escaped(warning)).append("</p>\n");
    }
  }

  private void findings(List<String> findings) {
    html.append("<h2>What happened</h2>\n<ul>\n");
    findings.forEach(finding -> html.append("<li>").append(escaped(finding)).append("</li>\n"));
    html.append("</ul>\n");
  }

  private void arms(ArmTable table, List<Picture> pictures) throws IOException {
    html.append("<h2>The arms</h2>\n<div class=\"wide\"><table><thead><tr><th>arm</th>")
        .append("<th>score</th><th>minus the first arm, seed by seed</th>")
        .append("<th>scored rollouts per seed</th></tr></thead><tbody>\n");
    for (ArmTable.Row row : table.rows()) {
      boolean first = row == table.rows().get(0);
      html.append("<tr><td>")
          .append(escaped(row.arm().title()))
          .append("<br><code>")
          .append(escaped(row.arm().name()))
          .append("</code></td>");
      cell(row.scores().text(false));
      cell(first ? "" : row.gain().text(true));
      cell(ArmTable.budget(row));
      html.append("</tr>\n");
    }
    html.append("</tbody></table></div>\n<p class=\"note\">")
        .append(escaped(table.legend()))
        .append(". Scored rollouts are responses that were checked for training, by whom they were")
        .append(" written; a teacher's count for every arm that learns from it.</p>\n");
    if (!pictures.isEmpty()) {
      picture(pictures.get(0));
    }
  }

  private void pictures(List<Picture> pictures) throws IOException {
    if (pictures.size() > 1) {
      html.append("<h2>How they got there</h2>\n");
    }
    for (Picture picture : pictures.subList(Math.min(1, pictures.size()), pictures.size())) {
      picture(picture);
    }
  }

  private void picture(Picture picture) throws IOException {
    html.append("<figure><figcaption><b>")
        .append(escaped(picture.title()))
        .append("</b> ")
        .append(escaped(picture.caption()))
        .append("</figcaption><img alt=\"")
        .append(escaped(picture.title() + ". " + picture.caption()))
        .append("\" src=\"data:image/png;base64,")
        .append(Base64.getEncoder().encodeToString(Files.readAllBytes(picture.file())))
        .append("\"></figure>\n");
  }

  private void stages(StageTable stages) {
    html.append("<h2>The stages</h2>\n<div class=\"wide\"><table><thead><tr><th>stage</th>")
        .append("<th>model</th><th>steps</th><th>held-out score at its end</th><th>reward</th>")
        .append("<th>KL per token</th><th>groups that taught nothing</th><th>entropy</th>")
        .append("</tr></thead><tbody>\n");
    for (StageTable.Row row : stages.rows()) {
      html.append("<tr><td>")
          .append(escaped(row.stage().name()))
          .append("<br><code>")
          .append(escaped(row.stage().kind().name().toLowerCase(Locale.ROOT).replace('_', ' ')))
          .append("</code></td>");
      cell(row.model());
      cell(String.valueOf(row.stage().steps()));
      cell(row.score());
      cell(row.reward());
      cell(row.kl());
      cell(row.idle());
      cell(row.entropy());
      html.append("</tr>\n");
    }
    html.append("</tbody></table></div>\n<p class=\"note\">An arrow leads from the first tenth of")
        .append(" the steps to the last, mean over seeds.</p>\n");
  }

  private void time(TimeShares time, String work) {
    html.append("<h2>Where the time went</h2>\n<p>All training steps together took ")
        .append(TimePrediction.shown(time.seconds()))
        .append(".</p>\n<div class=\"bars\">\n");
    time.shares()
        .forEach(
            (phase, share) ->
                html.append(
                    String.format(
                        Locale.ROOT,
                        "<div><span>%s</span><i style=\"width:%.1f%%\"></i><b>%.1f %%</b></div>%n",
                        escaped(phase),
                        60 * share,
                        100 * share)));
    html.append("</div>\n<p>").append(escaped(capitalised(work))).append(".</p>\n");
  }

  private static String capitalised(String text) {
    return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
  }

  private void next(List<String[]> next) {
    html.append("<h2>What to do next</h2>\n<dl>\n");
    for (String[] step : next) {
      html.append("<dt><code>")
          .append(escaped(step[0]))
          .append("</code></dt><dd>")
          .append(escaped(step[1]))
          .append("</dd>\n");
    }
    html.append("</dl>\n");
  }

  private void words() {
    html.append("<h2>Words</h2>\n<dl>\n");
    word("rollout", "a response that the model being trained writes for a problem");
    word("score, reward", "1 if the response is right, 0 if not; the mean over responses");
    word(
        "GRPO",
        "reinforcement: several responses to each problem, those above the group's mean are made"
            + " more probable, those below less");
    word(
        "group that taught nothing",
        "all its responses were right, or all wrong, so none is above the mean; a weak model that"
            + " never succeeds learns nothing this way");
    word(
        "forward KL, reverse KL",
        "how far two models' next-token distributions are apart, in nats; forward KL is taken on"
            + " the teacher's rollouts, reverse KL on the student's own");
    word("bridge", "forward KL on the teacher's rollouts, then reverse KL on the student's");
    word("replay", "as many updates as the last stage makes, without any new label: its control");
    word("entropy", "how undecided the model is about the next token, in nats");
    html.append("</dl>\n");
  }

  private void word(String word, String meaning) {
    html.append("<dt>").append(word).append("</dt><dd>").append(meaning).append("</dd>\n");
  }

  private void configuration(Pipeline pipeline) {
    html.append("<h2>Configuration</h2>\n<details><summary>every value of this run")
        .append("</summary><pre>")
        .append(escaped(PipelineTree.of(pipeline).json()))
        .append("</pre></details>\n");
  }

  private void cell(String text) {
    html.append("<td>").append(escaped(text)).append("</td>");
  }

  private static String escaped(String text) {
    return text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }

  private static String style() throws IOException {
    try (InputStream style = ReportPage.class.getResourceAsStream("report.css")) {
      return new String(style.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
