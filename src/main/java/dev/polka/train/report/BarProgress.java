package dev.polka.train.report;

import java.io.PrintStream;
import java.time.Duration;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** A bar per stage, on a terminal; when the stage ends the bar gives way to one line. */
final class BarProgress implements Progress {
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
    boolean unicode = isUnicode();
    bar =
        new ProgressBarBuilder()
            .setTaskName(text.head())
            .setInitialMax(stage.steps())
            .startsFrom(done, Duration.ZERO)
            .setStyle(unicode ? ProgressBarStyle.UNICODE_BLOCK : ProgressBarStyle.ASCII)
            .setUpdateIntervalMillis(250)
            .hideEta()
            .clearDisplayOnFinish()
            .build();
  }

  private static boolean isUnicode() {
    return "UTF-8"
        .equals(System.getProperty("sun.stdout.encoding", System.getProperty("native.encoding")));
  }

  @Override
  public void step(StepMetrics metrics, StepTiming timing) {
    bar.setExtraMessage("  " + text.step(metrics, timing));
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
