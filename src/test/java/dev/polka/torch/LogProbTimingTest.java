package dev.polka.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.Targets;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

/**
 * A look at the clock, not a test of it: log-probs of 512 rows of 32768 f32 logits, from Polka and
 * from libtorch, on one thread. libtorch is shown at its best, into memory that exists, and the way
 * it is usually written, with a fresh result each call, which mostly measures page faults. The
 * values are compared; the times are printed.
 */
class LogProbTimingTest {
  private static final int ROWS = 512;
  private static final int VOCABULARY = 32768;
  private static final int RUNS = 7;

  @Test
  void logProbsAgreeWithLibtorchAndTheTimesAreInTheLog() {
    int threads = torch.get_num_threads();
    torch.set_num_threads(1);
    try (PointerScope scope = new PointerScope();
        Longs ids = Longs.allocate(ROWS)) {
      Tensor logits = torch.randn(ROWS, VOCABULARY);
      Random random = new Random(1);
      for (int r = 0; r < ROWS; r++) {
        ids.set(r, random.nextInt(VOCABULARY));
      }
      Tensor index = Tensors.of(ids.toArray(), ROWS, 1);
      Tensor all = torch.empty(ROWS, VOCABULARY);
      Tensor gathered = torch.empty(ROWS, 1);
      LogProb operation = LogProb.plain().withThreads(1);
      Matrix view = Torch.matrix(logits);
      Targets targets = Targets.of(ids);
      try (LogProbs ours = operation.allocate(view)) {
        double[] polka = new double[RUNS];
        double[] preallocated = new double[RUNS];
        double[] fresh = new double[RUNS];
        for (int run = 0; run < RUNS; run++) {
          polka[run] = milliseconds(() -> operation.forward(view, targets, ours));
          preallocated[run] =
              milliseconds(
                  () -> {
                    torch.log_softmax_out(all, logits, 1);
                    torch.gather_out(gathered, all, 1, index);
                  });
          fresh[run] =
              milliseconds(
                  () -> {
                    try (PointerScope inner = new PointerScope()) {
                      torch.log_softmax(logits, 1).gather(1, index);
                    }
                  });
        }
        float[] expected = Torch.floats(gathered).toArray();
        float[] actual = ours.logProb().toArray();
        for (int r = 0; r < ROWS; r++) {
          assertThat(actual[r]).isCloseTo(expected[r], within(2e-5f));
        }
        System.out.printf(
            "log_prob forward, %d x %d f32, one thread, median (min-max) of %d:%n"
                + "  Polka (%s)                          %s%n"
                + "  libtorch log_softmax_out + gather_out  %s  %.1f x Polka's%n"
                + "  libtorch log_softmax + gather, fresh   %s  %.1f x Polka's%n",
            ROWS,
            VOCABULARY,
            RUNS,
            ours.target(),
            text(polka),
            text(preallocated),
            median(preallocated) / median(polka),
            text(fresh),
            median(fresh) / median(polka));
      }
    } finally {
      torch.set_num_threads(threads);
    }
  }

  private static double milliseconds(Runnable work) {
    long start = System.nanoTime();
    work.run();
    return (System.nanoTime() - start) / 1e6;
  }

  private static double median(double[] times) {
    double[] sorted = times.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  private static String text(double[] times) {
    return String.format(
        "%7.2f ms (%.2f-%.2f)",
        median(times),
        Arrays.stream(times).min().getAsDouble(),
        Arrays.stream(times).max().getAsDouble());
  }
}
