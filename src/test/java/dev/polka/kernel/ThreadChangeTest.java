package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.DType;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/** The process's number of threads may change while operations run. */
class ThreadChangeTest {
  private static final int COLS = 1_600_000;

  @Test
  void aCallUnderWayKeepsTheNumberItBeganWith() throws InterruptedException {
    int before = Backend.threads();
    AtomicBoolean done = new AtomicBoolean();
    Thread changing =
        new Thread(
            () -> {
              for (int n = 1; !done.get(); n = 5 - n) {
                Backend.threads(n); // 1 and 4 by turns: rows whole, then cut into tiles
              }
            });
    try (Matrix logits = Matrix.allocate(DType.F32, 1, COLS);
        Longs ids = Longs.copyOf(7)) {
      for (int c = 0; c < COLS; c++) {
        logits.set(0, c, c % 11);
      }
      Targets targets = Targets.of(ids);
      try (LogProbs out = LogProb.plain().allocate(logits)) {
        LogProb.plain().withThreads(1).forward(logits, targets, out);
        float expected = out.logProb().get(0);
        changing.start();
        for (int call = 0; call < 400; call++) {
          LogProb.plain().forward(logits, targets, out);
          assertThat(out.logProb().get(0)).isEqualTo(expected);
        }
      }
    } finally {
      done.set(true);
      changing.join();
      Backend.threads(before);
    }
  }
}
