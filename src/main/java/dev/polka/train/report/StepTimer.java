package dev.polka.train.report;

import java.util.EnumMap;
import java.util.Map;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/**
 * Times the phases of one step. Phases may be entered several times and nested; the time of an
 * inner phase is not counted for the outer one. For one thread.
 */
public final class StepTimer {
  private final LongSupplier clock;
  private final long start;
  private final Map<Phase, Long> nanos = new EnumMap<>(Phase.class);
  private Phase current;
  private long since;

  private StepTimer(LongSupplier clock) {
    this.clock = clock;
    this.start = clock.getAsLong();
    this.since = start;
  }

  /**
   * Starts a step now.
   *
   * @return the timer
   */
  public static StepTimer start() {
    return start(System::nanoTime);
  }

  /** Starts a step on another clock. */
  static StepTimer start(LongSupplier clock) {
    return new StepTimer(clock);
  }

  /**
   * Does a part of the step.
   *
   * @param <T> what the work gives
   * @param phase what the part counts as
   * @param work the part
   * @return what the work gives
   */
  public <T> T time(Phase phase, Supplier<T> work) {
    Phase outer = enter(phase);
    try {
      return work.get();
    } finally {
      enter(outer);
    }
  }

  /**
   * Does a part of the step.
   *
   * @param phase what the part counts as
   * @param work the part
   */
  public void run(Phase phase, Runnable work) {
    time(
        phase,
        () -> {
          work.run();
          return null;
        });
  }

  /**
   * Ends the step.
   *
   * @param seed the seed
   * @param stage name of the stage
   * @param step steps of the stage that are done, from 1
   * @param tokens tokens generated and trained on
   * @return the times
   */
  public StepTiming finish(long seed, String stage, long step, long tokens) {
    enter(null);
    Map<Phase, Double> seconds = new EnumMap<>(Phase.class);
    nanos.forEach((phase, time) -> seconds.put(phase, time * 1e-9));
    return new StepTiming(seed, stage, step, (clock.getAsLong() - start) * 1e-9, seconds, tokens);
  }

  private Phase enter(Phase phase) {
    long now = clock.getAsLong();
    if (current != null) {
      nanos.merge(current, now - since, Long::sum);
    }
    Phase outer = current;
    current = phase;
    since = now;
    return outer;
  }
}
