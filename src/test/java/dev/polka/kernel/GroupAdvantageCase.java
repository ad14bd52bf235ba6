package dev.polka.kernel;

import dev.polka.memory.Doubles;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.ReferenceGroupAdvantage;
import dev.polka.reference.Storage;
import java.util.Arrays;
import java.util.stream.IntStream;

/** One call of group_advantage beside the f64 reference. */
public record GroupAdvantageCase(
    ReferenceGroupAdvantage options, double[] rewards, long[] groupOffsets) {

  public GroupAdvantage operation() {
    return GroupAdvantage.grpo()
        .withBaseline(options.leaveOneOut() ? Baseline.LEAVE_ONE_OUT : Baseline.MEAN)
        .withStd(Std.valueOf(options.scale().name()))
        .withEpsilon(
            options.epsilon(),
            options.epsilonInSqrt() ? EpsilonPlacement.IN_SQRT : EpsilonPlacement.OUTSIDE)
        .withSingleton(options.singletonRaw() ? Singleton.RAW : Singleton.ZERO);
  }

  private Groups groups() {
    return Groups.ofOffsets(Longs.copyOf(groupOffsets));
  }

  /** From f64 rewards to f64 advantages. */
  public double[] runF64() {
    try (Doubles in = Doubles.copyOf(rewards);
        Doubles out = operation().forward(in, groups())) {
      return out.toArray();
    }
  }

  /** From f32 rewards to f32 advantages. */
  public float[] runF32() {
    try (Floats in = Floats.copyOf(Storage.toF32(rewards));
        Floats out = operation().forward(in, groups())) {
      return out.toArray();
    }
  }

  double[] expected() {
    return IntStream.range(0, groupOffsets.length - 1)
        .mapToObj(
            g -> Arrays.copyOfRange(rewards, (int) groupOffsets[g], (int) groupOffsets[g + 1]))
        .flatMapToDouble(group -> Arrays.stream(options.of(group)))
        .toArray();
  }
}
