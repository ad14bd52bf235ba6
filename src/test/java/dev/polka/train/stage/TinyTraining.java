package dev.polka.train.stage;

import dev.polka.train.report.StageRun;
import dev.polka.train.report.StepMetrics;
import dev.polka.train.report.StepTiming;
import java.io.IOException;
import java.nio.file.Path;

/** A process that trains in a folder and says what it has done, to be killed and started again. */
final class TinyTraining {
  static final int STEPS = 24;

  private TinyTraining() {}

  public static void main(String[] arguments) throws IOException {
    TinyRun.everyKind(STEPS).in(Path.of(arguments[0]), new Telling());
  }

  /** A line per beginning and step: the number of steps that are done, over all stages. */
  private static final class Telling extends TinyRun.Watching {
    private long before;

    @Override
    public void begin(StageRun stage, long done) {
      before = (stage.index() - 1L) * STEPS;
      System.out.println(before + done);
    }

    @Override
    public void step(StepMetrics metrics, StepTiming timing) {
      System.out.println(before + metrics.step());
    }
  }
}
