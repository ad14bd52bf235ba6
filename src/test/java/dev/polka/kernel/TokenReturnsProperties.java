package dev.polka.kernel;

import static dev.polka.reference.Storage.widen;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceTokenReturns;
import java.util.Arrays;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;

class TokenReturnsProperties {
  /** A ragged batch with masked spans, whose masked rewards and values are NaN. */
  record Batch(long[] offsets, float[] rewards, float[] values, boolean[] mask, float[] bootstrap) {
    static Batch of(long seed, int sequences) {
      Noise noise = Noise.of(seed);
      long[] offsets = new long[sequences + 1];
      for (int b = 0; b < sequences; b++) {
        offsets[b + 1] = offsets[b] + noise.below(b, 40);
      }
      int tokens = (int) offsets[sequences];
      boolean[] mask = noise.stream(1).booleans(tokens, 0.7);
      float[] rewards = noise.stream(2).normals(tokens, 1);
      float[] values = noise.stream(3).normals(tokens, 1);
      for (int t = 0; t < tokens; t++) {
        rewards[t] = mask[t] ? rewards[t] : Float.NaN;
        values[t] = mask[t] ? values[t] : Float.NaN;
      }
      return new Batch(offsets, rewards, values, mask, noise.stream(4).normals(sequences, 1));
    }

    Batch sequences(int from, int to) {
      int first = (int) offsets[from];
      int last = (int) offsets[to];
      long[] own = IntStream.rangeClosed(from, to).mapToLong(b -> offsets[b] - first).toArray();
      return new Batch(
          own,
          Arrays.copyOfRange(rewards, first, last),
          Arrays.copyOfRange(values, first, last),
          Arrays.copyOfRange(mask, first, last),
          Arrays.copyOfRange(bootstrap, from, to));
    }

    int count() {
      return offsets.length - 1;
    }

    TokenReturnsInput input(boolean withValues) {
      TokenReturnsInput input =
          TokenReturnsInput.of(Floats.copyOf(rewards), Longs.copyOf(offsets))
              .withMask(Bytes.copyOf(mask))
              .withBootstrap(Floats.copyOf(bootstrap));
      return withValues ? input.withValues(Floats.copyOf(values)) : input;
    }
  }

  record Outputs(float[] advantages, float[] returns) {
    static Outputs of(TokenReturns operation, TokenReturnsInput input) {
      try (TokenReturnsResult r = operation.forward(input)) {
        return new Outputs(r.advantages().toArray(), r.returns().toArray());
      }
    }
  }

  private static void assertSums(String what, float[] actual, double[] expected) {
    for (int t = 0; t < expected.length; t++) {
      Accuracy.assertTerm(what + " " + t, actual[t], expected[t], 1);
    }
  }

  @Property(tries = 100, seed = "20260701")
  void advantagesAndTargetsAreTheSumsThatDefineThem(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(max = 8) int sequences,
      @ForAll @DoubleRange(max = 1) double gamma,
      @ForAll @DoubleRange(max = 1) double lambda,
      @ForAll @DoubleRange(max = 1) double valueLambda) {
    ReferenceTokenReturns reference = new ReferenceTokenReturns(gamma, lambda, valueLambda);
    Batch batch = Batch.of(seed, sequences);
    TokenReturns gae = TokenReturns.gae(gamma, lambda).withValueLambda(valueLambda);
    Outputs all = Outputs.of(gae, batch.input(true));
    for (int b = 0; b < sequences; b++) {
      Batch one = batch.sequences(b, b + 1);
      int from = (int) batch.offsets()[b];
      int to = (int) batch.offsets()[b + 1];
      double[] rewards = widen(one.rewards());
      double[] values = widen(one.values());
      double last = one.bootstrap()[0];
      assertSums(
          "advantage",
          Arrays.copyOfRange(all.advantages(), from, to),
          reference.advantages(rewards, values, one.mask(), last));
      assertSums(
          "target",
          Arrays.copyOfRange(all.returns(), from, to),
          reference.targets(rewards, values, one.mask(), last));
    }
  }

  @Property(tries = 100, seed = "20260701")
  void discountedReturnsAreTheSumsThatDefineThem(
      @ForAll @LongRange(max = 1_000_000) long seed, @ForAll @DoubleRange(max = 1) double gamma) {
    Batch batch = Batch.of(seed, 1);
    try (TokenReturnsResult r = TokenReturns.discounted(gamma).forward(batch.input(false))) {
      double[] expected =
          new ReferenceTokenReturns(gamma, 1, 1)
              .discounted(widen(batch.rewards()), batch.mask(), batch.bootstrap()[0]);
      assertSums("return", r.returns().toArray(), expected);
    }
  }

  @Property(tries = 60, seed = "20260701")
  void aSequenceAloneHasTheBitsItHasAmongOthers(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 30) int sequences) {
    Batch batch = Batch.of(seed, sequences);
    TokenReturns gae = TokenReturns.gae(0.99, 0.95);
    float[] all = Outputs.of(gae, batch.input(true)).advantages();
    int split = Noise.of(seed).below(3, sequences);
    float[] left = Outputs.of(gae, batch.sequences(0, split).input(true)).advantages();
    float[] right = Outputs.of(gae, batch.sequences(split, sequences).input(true)).advantages();
    assertThat(left).isEqualTo(Arrays.copyOf(all, left.length));
    assertThat(right).isEqualTo(Arrays.copyOfRange(all, left.length, all.length));
  }

  @Property(tries = 60, seed = "20260701")
  void whatIsMaskedCanBeLeftOut(@ForAll @LongRange(max = 1_000_000) long seed) {
    Batch batch = Batch.of(seed, 1);
    int[] kept = IntStream.range(0, batch.mask().length).filter(t -> batch.mask()[t]).toArray();
    float[] rewards = new float[kept.length];
    float[] values = new float[kept.length];
    boolean[] mask = new boolean[kept.length];
    for (int k = 0; k < kept.length; k++) {
      rewards[k] = batch.rewards()[kept[k]];
      values[k] = batch.values()[kept[k]];
      mask[k] = true;
    }
    Batch dense = new Batch(new long[] {0, kept.length}, rewards, values, mask, batch.bootstrap());
    TokenReturns gae = TokenReturns.gae(0.9, 0.8).withLengthAdaptiveLambda(0.3);
    float[] sparse = Outputs.of(gae, batch.input(true)).advantages();
    float[] expected = Outputs.of(gae, dense.input(true)).advantages();
    for (int k = 0; k < kept.length; k++) {
      assertThat(sparse[kept[k]]).isEqualTo(expected[k]);
    }
  }

  @Property(tries = 60, seed = "20260701")
  void aShiftOfAllValuesMovesNoAdvantageWithoutADiscount(
      @ForAll @LongRange(max = 1_000_000) long seed) {
    Batch batch = Batch.of(seed, 3);
    float[] shifted = batch.values().clone();
    for (int t = 0; t < shifted.length; t++) {
      shifted[t] += 2;
    }
    float[] bootstrap = batch.bootstrap().clone();
    for (int b = 0; b < bootstrap.length; b++) {
      bootstrap[b] += 2;
    }
    Batch moved = new Batch(batch.offsets(), batch.rewards(), shifted, batch.mask(), bootstrap);
    TokenReturns gae = TokenReturns.gae(1, 0.9);
    float[] plain = Outputs.of(gae, batch.input(true)).advantages();
    float[] other = Outputs.of(gae, moved.input(true)).advantages();
    for (int t = 0; t < plain.length; t++) {
      Accuracy.assertWithin("advantage " + t, other[t], plain[t], 1e-5);
    }
  }
}
