package dev.polka.train.report;

import java.io.PrintStream;
import java.util.Locale;
import java.util.function.LongSupplier;

/** One line every 10 seconds, for logs and pipes. */
final class LineProgress implements Progress {
  private static final long INTERVAL = 10_000_000_000L;

  private final StepText text;
  private final PrintStream out;
  private final LongSupplier clock;
  private long steps;
  private long last;
  private boolean any;

  LineProgress(TimePrediction prediction, PrintStream out, LongSupplier clock) {
    this.text = new StepText(prediction);
    this.out = out;
    this.clock = clock;
  }

  @Override
  public void begin(StageRun stage, long done) {
    text.begin(stage);
    steps = stage.steps();
    if (!any) {
      last = clock.getAsLong();
      any = true;
    }
  }

  @Override
  public void step(StepMetrics metrics, StepTiming timing) {
    String values = text.step(metrics, timing);
    long now = clock.getAsLong();
    if (now - last >= INTERVAL) {
      last = now;
      out.println(
          String.format(Locale.ROOT, "%s %d/%d  %s", text.head(), metrics.step(), steps, values));
    }
  }

  @Override
  public void end(String outcome) {
    out.println(text.end(outcome));
  }

  @Override
  public void say(String line) {
    out.println(line);
  }

  @Override
  public void close() {
    out.flush();
  }
}
