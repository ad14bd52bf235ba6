package dev.polka.train.report;

import java.io.Console;
import java.io.PrintStream;
import java.lang.reflect.Method;

/**
 * Shows a person how a run is getting on. For one thread; {@link #begin}, any number of {@link
 * #step}s, {@link #end}, again and again.
 */
public interface Progress extends AutoCloseable {
  /**
   * A stage begins.
   *
   * @param stage the stage
   * @param done its steps that are done already, by a run that is gone on with
   */
  void begin(StageRun stage, long done);

  /**
   * A step is done.
   *
   * @param metrics its values
   * @param timing its times
   */
  void step(StepMetrics metrics, StepTiming timing);

  /**
   * The stage has ended.
   *
   * @param outcome what to say about it, such as {@code score 0.42 on 500 problems}
   */
  void end(String outcome);

  /**
   * Says something between stages.
   *
   * @param line one line
   */
  void say(String line);

  @Override
  void close();

  /**
   * A progress bar where there is a terminal, otherwise one line every 10 seconds.
   *
   * @param prediction of the time left; it is fed with the times of the steps
   * @param out where lines go
   * @return the display
   */
  static Progress open(TimePrediction prediction, PrintStream out) {
    return onTerminal()
        ? new BarProgress(prediction, out)
        : new LineProgress(prediction, out, System::nanoTime);
  }

  private static boolean onTerminal() {
    Console console = System.console();
    if (console == null || "dumb".equals(System.getenv("TERM"))) {
      return false;
    }
    // From Java 22 on there is always a console, and it knows whether it is a terminal.
    try {
      Method isTerminal = Console.class.getMethod("isTerminal");
      return (boolean) isTerminal.invoke(console);
    } catch (NoSuchMethodException e) {
      return true;
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }
}
