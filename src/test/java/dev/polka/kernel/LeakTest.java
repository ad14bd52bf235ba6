package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * Memory over ten thousand steps, in a JVM of its own with a fixed heap. Each step runs every
 * operation and one backward pass of libtorch.
 */
class LeakTest {
  private static final long ALLOWED = 8L << 20;

  @Test
  void tenThousandStepsGrowTheProcessByLessThanEightMegabytes() throws Exception {
    assertThat(grownBy(0)).isLessThan(ALLOWED);
  }

  @Test
  void aLostKilobytePerStepIsNoticed() throws Exception {
    assertThat(grownBy(1024)).isGreaterThan(ALLOWED);
  }

  private static long grownBy(int lostPerStep) throws Exception {
    ChildJvm.Exit exit =
        ChildJvm.withEverything()
            .with("-Xms64m")
            .with("-Xmx64m")
            .with("-XX:+AlwaysPreTouch")
            .with("-XX:+UseSerialGC")
            .with("-XX:TieredStopAtLevel=1")
            .with("-Dorg.bytedeco.javacpp.maxPhysicalBytes=0")
            .with("-Dorg.bytedeco.javacpp.maxBytes=0")
            .with("-Dpolka.leak=" + lostPerStep)
            .run(LeakProbe.class);
    List<String> grew = exit.lines().stream().filter(line -> line.startsWith("grew ")).toList();
    assertThat(grew).as("%s", exit).hasSize(1);
    System.out.println("a process that loses " + lostPerStep + " bytes per step: " + grew.get(0));
    return Long.parseLong(grew.get(0).substring(5));
  }
}
