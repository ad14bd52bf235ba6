package dev.polka.train.report;

import java.io.PrintStream;
import java.time.Duration;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressState;

/** A bar per stage, on a terminal; when the stage ends the bar gives way to one line. */
final class BarProgress implements Progress {
  private static final int CELLS = 16;
  private static final int REFRESH_MILLISECONDS = 250;

  private final StepText text;
  private final PrintStream out;
  private ProgressBar bar;

  BarProgress(TimePrediction prediction, PrintStream out) {
    this.text = new StepText(prediction);
    this.out = out;
  }

  @Override
  public void begin(StageRun stage, long done) {
    text.begin(stage);
    bar =
        new ProgressBarBuilder()
            .setTaskName(text.head())
            .setInitialMax(stage.steps())
            .startsFrom(done, Duration.ZERO)
            .setRenderer(BarProgress::render)
            .setUpdateIntervalMillis(REFRESH_MILLISECONDS)
            .clearDisplayOnFinish()
            .build();
  }

  /** Place, bar, steps, and as many whole values as fit. */
  static String render(ProgressState state, int width) {
    return render(
        state.getTaskName(), state.getCurrent(), state.getMax(), state.getExtraMessage(), width);
  }

  static String render(String head, long step, long steps, String values, int width) {
    int full = (int) (CELLS * step / Math.max(1, steps));
    String bar = "[" + "#".repeat(full) + "-".repeat(CELLS - full) + "]";
    StringBuilder line = new StringBuilder(head + " " + bar + " " + step + "/" + steps);
    for (String value : values.split(StepText.SEPARATOR)) {
      if (line.length() + StepText.SEPARATOR.length() + value.length() > width) {
        break;
      }
      line.append(StepText.SEPARATOR).append(value);
    }
    return line.length() <= width ? line.toString() : line.substring(0, Math.max(0, width));
  }

  @Override
  public void step(StepMetrics metrics, StepTiming timing) {
    bar.setExtraMessage(text.step(metrics, timing));
    bar.stepTo(metrics.step());
  }

  @Override
  public void end(String outcome) {
    close();
    out.println(text.end(outcome));
  }

  @Override
  public void say(String line) {
    out.println(line);
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
      bar = null;
    }
    out.flush();
  }
}
