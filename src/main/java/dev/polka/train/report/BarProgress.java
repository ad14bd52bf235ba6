package dev.polka.train.report;

import java.io.PrintStream;
import java.time.Duration;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressState;

/** A bar per stage, on a terminal; when the stage ends the bar gives way to one line. */
final class BarProgress implements Progress {
  private static final int CELLS = 16;
  private static final int ESSENTIAL = 6; // reward to tokens/s of a reinforcement stage
  private static final int SHORTEST_NAME = 6;
  private static final int REFRESH_MILLISECONDS = 250;

  private final StepText text;
  private final PrintStream out;
  private ProgressBar bar;
  // Drawn by the bar's own thread.
  private volatile Narrow narrow;

  /** What a line says where not all of the wide one fits. */
  record Narrow(String head, String values) {}

  BarProgress(TimePrediction prediction, PrintStream out) {
    this.text = new StepText(prediction);
    this.out = out;
  }

  @Override
  public void begin(StageRun stage, long done) {
    text.begin(stage);
    narrow = new Narrow(text.narrowHead(), "");
    bar =
        new ProgressBarBuilder()
            .setTaskName(text.head())
            .setInitialMax(stage.steps())
            .startsFrom(done, Duration.ZERO)
            .setRenderer(this::render)
            .setUpdateIntervalMillis(REFRESH_MILLISECONDS)
            .clearDisplayOnFinish()
            .build();
  }

  /** Everything where it fits, otherwise the same in fewer columns. */
  private String render(ProgressState state, int width) {
    long step = state.getCurrent();
    long steps = state.getMax();
    String values = state.getExtraMessage();
    String wide = render(state.getTaskName(), step, steps, values, Integer.MAX_VALUE);
    return wide.length() <= width ? wide : renderNarrow(narrow, step, steps, width);
  }

  /** No bar; the stage's name is cut where the values need its columns. */
  static String renderNarrow(Narrow narrow, long step, long steps, int width) {
    String count = " " + step + "/" + steps;
    int needed = count.length();
    int values = 0;
    for (String value : narrow.values().split(StepText.SEPARATOR)) {
      if (values++ < ESSENTIAL) {
        needed += 1 + value.length();
      }
    }
    String head = narrow.head();
    int kept = Math.max(head.lastIndexOf(' ') + 1 + SHORTEST_NAME, width - needed);
    StringBuilder line = new StringBuilder(head.substring(0, Math.min(head.length(), kept)));
    return append(line.append(count), narrow.values(), " ", width);
  }

  /** As many whole values as fit. */
  private static String append(StringBuilder line, String values, String between, int width) {
    for (String value : values.split(StepText.SEPARATOR)) {
      if (line.length() + between.length() + value.length() > width) {
        break;
      }
      line.append(between).append(value);
    }
    return line.length() <= width ? line.toString() : line.substring(0, Math.max(0, width));
  }

  static String render(String head, long step, long steps, String values, int width) {
    int full = (int) (CELLS * step / Math.max(1, steps));
    String bar = "[" + "#".repeat(full) + "-".repeat(CELLS - full) + "]";
    StringBuilder line = new StringBuilder(head + " " + bar + " " + step + "/" + steps);
    return append(line, values, StepText.SEPARATOR, width);
  }

  @Override
  public void step(StepMetrics metrics, StepTiming timing) {
    String values = text.step(metrics, timing);
    narrow = new Narrow(text.narrowHead(), text.narrow());
    bar.setExtraMessage(values);
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
