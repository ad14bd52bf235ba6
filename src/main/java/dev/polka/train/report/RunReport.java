package dev.polka.train.report;

import dev.polka.train.config.ForwardKlWarmup;
import dev.polka.train.config.Grpo;
import dev.polka.train.config.OnPolicyDistillation;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.Replay;
import dev.polka.train.config.Stage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.function.Predicate;

/**
 * The report of a run, finished or not, made from its logs: {@code report.html}, which needs
 * nothing but itself, and its plots as PNG files.
 *
 * @param page path of {@code report.html}
 * @param table the arms
 * @param text what a terminal shows: the table, the shares of time, what to do next
 * @param warnings what could not be done, one line each
 */
public record RunReport(Path page, ArmTable table, String text, List<String> warnings) {

  /**
   * Writes the report.
   *
   * @param folder where it goes
   * @param pipeline the configuration
   * @param records the logs
   * @param lossesBy what computed the losses, such as {@code Polka's kernels}
   * @return what was written
   * @throws IOException if it cannot be written
   */
  public static RunReport write(Path folder, Pipeline pipeline, RunRecords records, String lossesBy)
      throws IOException {
    return write(folder, pipeline, records, lossesBy, "");
  }

  /**
   * Writes the report of a run with a configuration of its own.
   *
   * @param folder where it goes
   * @param pipeline the configuration
   * @param records the logs
   * @param lossesBy what computed the losses, such as {@code Polka's kernels}
   * @param config the option that names the configuration on a command line, such as {@code
   *     --config my.yaml}; empty for a shipped one
   * @return what was written
   * @throws IOException if it cannot be written
   */
  public static RunReport write(
      Path folder, Pipeline pipeline, RunRecords records, String lossesBy, String config)
      throws IOException {
    String option = config.isEmpty() ? "" : config + " ";
    ArmTable table = ArmTable.of(pipeline, records.evaluations());
    StageTable stages = StageTable.of(pipeline, records);
    TimeShares time = TimeShares.of(records.timings());
    String work = work(records.steps(), lossesBy);
    List<String> warnings = new ArrayList<>();
    List<ReportPage.Picture> pictures = List.of();
    Path plots = folder.resolve("plots");
    Files.createDirectories(plots);
    try {
      pictures = draw(plots, pipeline, table, records.steps());
    } catch (RuntimeException | LinkageError | InternalError e) {
      // A Java without fonts fails in any of these ways, depending on its version.
      warnings.add(
          "The plots are missing, Java could not draw them ("
              + e
              + "). On Debian: apt-get install fontconfig fonts-dejavu-core");
    }
    Path page = folder.resolve("report.html");
    Files.writeString(
        page,
        ReportPage.of(
            pipeline,
            table,
            stages,
            time,
            work,
            Findings.next(pipeline, table, option),
            pictures,
            warnings));
    String text =
        table.text()
            + "\n"
            + time.text()
            + "\n"
            + work
            + "\n\n"
            + Findings.nextText(pipeline, table, option);
    return new RunReport(page, table, text, List.copyOf(warnings));
  }

  /** How the steps were computed. */
  private static String work(List<StepMetrics> steps, String lossesBy) {
    String losses = "losses by " + lossesBy;
    OptionalDouble padded =
        steps.stream()
            .map(step -> step.values().get(Metric.PADDED_SHARE))
            .filter(Objects::nonNull)
            .mapToDouble(share -> share)
            .average();
    return padded.isEmpty()
        ? losses
        : String.format(
            Locale.ROOT,
            "%s; padding was %.0f%% of the tokens in the models' layers",
            losses,
            100 * padded.getAsDouble());
  }

  private static List<ReportPage.Picture> draw(
      Path plots, Pipeline pipeline, ArmTable table, List<StepMetrics> steps) throws IOException {
    List<ReportPage.Picture> pictures = new ArrayList<>();
    if (!table.seeds().isEmpty()) {
      Path file = plots.resolve("scores.png");
      Plots.scores(table, file);
      pictures.add(
          new ReportPage.Picture("Score of every arm.", "Bars: mean. Dots: each seed.", file));
    }
    List<String> reinforced = names(pipeline, stage -> stage instanceof Grpo);
    List<String> distilled =
        names(
            pipeline,
            stage ->
                stage instanceof ForwardKlWarmup
                    || stage instanceof OnPolicyDistillation
                    || stage instanceof Replay);
    curve(
        pictures,
        plots.resolve("reward.png"),
        "Reward in reinforcement stages.",
        "Share of a step's own responses that were right",
        Curves.of(steps, Metric.REWARD, reinforced),
        "reward",
        true);
    curve(
        pictures,
        plots.resolve("idle-groups.png"),
        "Groups that taught nothing.",
        "Near 1 there is no signal: all responses to a problem are right, or all wrong",
        Curves.of(steps, Metric.ZERO_ADVANTAGE_GROUPS, reinforced),
        "share of groups",
        true);
    curve(
        pictures,
        plots.resolve("kl.png"),
        "Distance to the teacher in distillation stages.",
        "What the dense signal brings down",
        Curves.of(steps, Metric.KL, distilled),
        "KL per token, nats",
        false);
    curve(
        pictures,
        plots.resolve("entropy.png"),
        "Entropy in reinforcement stages.",
        "A policy that falls to 0 no longer explores",
        Curves.of(steps, Metric.ENTROPY, reinforced),
        "entropy per token, nats",
        false);
    return pictures;
  }

  private static void curve(
      List<ReportPage.Picture> pictures,
      Path file,
      String title,
      String caption,
      Curves curves,
      String label,
      boolean share)
      throws IOException {
    if (curves.byStage().isEmpty()) {
      return;
    }
    Plots.curves(curves, label, share, file);
    String smoothing =
        curves.window() > 1
            ? "; mean over seeds and " + curves.window() + " steps."
            : "; mean over seeds.";
    pictures.add(new ReportPage.Picture(title, caption + smoothing, file));
  }

  private static List<String> names(Pipeline pipeline, Predicate<Stage> which) {
    return pipeline.trainedStages().stream().filter(which).map(Stage::name).toList();
  }
}
