package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.DType;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class ConcurrentCallersTest {
  private static final int TASKS = 200;
  private static final LogProb OPERATION = LogProb.atTemperature(0.8f).withEntropy();

  /** Virtual threads where Java has them; platform threads before that. */
  private static ExecutorService manyThreads() throws ReflectiveOperationException {
    try {
      return (ExecutorService)
          Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
    } catch (NoSuchMethodException olderJava) {
      return Executors.newCachedThreadPool();
    }
  }

  private static List<float[]> logProbs(int seed) {
    Random random = new Random(seed);
    int rows = 1 + random.nextInt(40);
    float[] values = new float[rows * 50];
    long[] ids = new long[rows];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    for (int r = 0; r < rows; r++) {
      ids[r] = random.nextInt(50);
    }
    try (Matrix logits = Matrix.copyOf(DType.F32, rows, 50, values);
        Targets targets = Targets.of(Longs.copyOf(ids));
        LogProbs out = OPERATION.forward(logits, targets)) {
      return List.of(out.logProb().toArray(), out.entropy().toArray());
    }
  }

  private static void assertEachIsTheSequentialOne(ExecutorService threads) throws Exception {
    List<Future<List<float[]>>> futures = new ArrayList<>();
    for (int task = 0; task < TASKS; task++) {
      int seed = task;
      futures.add(threads.submit(() -> logProbs(seed)));
    }
    for (int task = 0; task < TASKS; task++) {
      assertThat(futures.get(task).get().toArray()).isEqualTo(logProbs(task).toArray());
    }
    threads.shutdown();
  }

  @Test
  void aFewThreadsGetTheSequentialResults() throws Exception {
    assertEachIsTheSequentialOne(Executors.newFixedThreadPool(8));
  }

  @Test
  void manyThreadsGetTheSequentialResults() throws Exception {
    assertEachIsTheSequentialOne(manyThreads());
  }
}
