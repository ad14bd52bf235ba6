package dev.polka.benchmark;

import dev.polka.kernel.Backend;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What does crossing from Java into the native library and back cost, before any kernel does any
 * work? The native side reads one number from memory, so what is measured is the crossing.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class NativeCallBenchmark {
  private int number = 1;

  /** Loads the library and fixes what the call returns. */
  @Setup
  public void load() {
    Backend.threads(1);
  }

  /** The floor: reading a field. */
  @Benchmark
  public int javaField() {
    return number;
  }

  /** One call of a function without arguments. */
  @Benchmark
  public int nativeCall() {
    return Backend.threads();
  }
}
