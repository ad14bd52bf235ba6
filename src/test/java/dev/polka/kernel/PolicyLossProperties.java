package dev.polka.kernel;

import static dev.polka.reference.ReferenceObjective.PPO;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceObjective.Kind;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.Storage;
import java.util.Arrays;
import java.util.stream.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;

/** What holds for every policy objective whatever the batch. */
class PolicyLossProperties {
  @Provide
  Arbitrary<ReferenceObjective> objectives() {
    ReferenceObjective full =
        PPO.withKl(Estimator.K3, Gradient.STRAIGHT_THROUGH_K2, 0.2).withEntropyBonus(0.05);
    ReferenceObjective masked =
        full.withAnchor(Estimator.K2, 0.3)
            .withLikelihood(0.1)
            .withEntropyThreshold(0.75)
            .withOffPolicyMask(0.0625);
    return Arbitraries.of(
        Stream.of(
                Stream.of(
                    PPO,
                    PPO.withDualClip(1.2),
                    full,
                    full.withSequenceRatio(true),
                    full.withSequenceRatio(false)),
                Stream.of(Kind.values()).map(PPO.withTrust(0.0625, 0)::withKind),
                Stream.of(Kind.values()).map(masked.withTrust(0.125, 1.5)::withKind))
            .flatMap(s -> s)
            .toList());
  }

  /** Ragged sequences, some empty, some masked throughout. */
  private static ReferenceBatch anyBatch(long seed, int sequences) {
    Noise noise = Noise.of(seed);
    long[] offsets = new long[sequences + 1];
    for (int b = 0; b < sequences; b++) {
      offsets[b + 1] = offsets[b] + noise.below(b, 9);
    }
    int rows = (int) offsets[sequences];
    double[] logProb = Storage.widen(noise.stream(1).uniforms(rows, -5, -0.01));
    boolean[] mask = noise.stream(2).booleans(rows, 0.8);
    double[] perSequence = Storage.widen(noise.stream(3).normals(sequences, 1));
    return new ReferenceBatch(
        offsets,
        logProb,
        Storage.widen(noise.stream(4).uniforms(rows, 0, 3)),
        // Log-probs, hence not above 0.
        Arrays.stream(PolicyBatches.near(logProb, noise.stream(5), 0.3))
            .map(x -> Math.min(x, -0x1p-8))
            .toArray(),
        PolicyBatches.near(logProb, noise.stream(6), 0.3),
        ReferenceBatch.perToken(offsets, perSequence),
        Storage.widen(noise.stream(7).uniforms(rows, 0.2, 2)),
        mask,
        Math.max(1, sequences),
        PolicyBatches.tokenCounts(offsets, mask),
        Math.max(1, rows),
        null,
        new ReferenceBatch.Extras(
            PolicyBatches.near(logProb, noise.stream(8), 0.2),
            Storage.widen(noise.stream(9).uniforms(rows, 0, 2)),
            seed % 2 == 0 ? null : Storage.widen(noise.stream(10).uniforms(rows, 0, 2)),
            3,
            null));
  }

  @Property(tries = 400, seed = "20260701")
  void anyBatchMeetsTheBar(
      @ForAll("objectives") ReferenceObjective objective,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(max = 30) int sequences) {
    new PolicyLossAccuracy(PolicyLossCase.of(objective, anyBatch(seed, sequences)))
        .assertFromLogProbs();
  }

  @Property(tries = 300, seed = "20260701")
  void aBatchCutBetweenSequencesGivesTheSameGradientsAndSums(
      @ForAll("objectives") ReferenceObjective objective,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 30) int sequences) {
    ReferenceBatch whole = anyBatch(seed, sequences);
    int cut = Noise.of(seed).below(99, sequences + 1);
    Result all = PolicyLossCase.of(objective, whole).fromLogProbs();
    Result left = PolicyLossCase.of(objective, whole.sequences(0, cut)).fromLogProbs();
    Result right = PolicyLossCase.of(objective, whole.sequences(cut, sequences)).fromLogProbs();
    int row = (int) whole.offsets()[cut];
    assertThat(left.dLogProb).isEqualTo(Arrays.copyOf(all.dLogProb, row));
    assertThat(right.dLogProb)
        .isEqualTo(Arrays.copyOfRange(all.dLogProb, row, all.dLogProb.length));
    Accuracy.assertWithin(
        "loss", left.loss + right.loss, all.loss, 1e-12 * (1 + Math.abs(all.loss)));
    assertThat(left.tokens + right.tokens).isEqualTo(all.tokens);
    assertThat(left.clipHigh + right.clipHigh).isEqualTo(all.clipHigh);
  }

  /** So many sequences that two threads have enough to do. */
  @Property(tries = 30, seed = "20260701")
  void theNumberOfThreadsChangesNothing(
      @ForAll("objectives") ReferenceObjective objective,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 3000, max = 4000) int sequences,
      @ForAll @IntRange(min = 2, max = 9) int threads) {
    PolicyLossCase c = PolicyLossCase.of(objective, anyBatch(seed, sequences)).withThreads(1);
    dev.polka.reference.SameBits.assertSame(
        c.withThreads(threads).fromLogProbs(), c.fromLogProbs());
  }

  /** Advantages times 4 give policy gradients times 4: powers of two are exact. */
  @Property(tries = 60, seed = "20260701")
  void thePolicyTermIsLinearInTheAdvantages(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 30) int sequences) {
    ReferenceBatch batch = anyBatch(seed, sequences);
    double[] fourTimes = Arrays.stream(batch.advantages()).map(a -> 4 * a).toArray();
    Result plain = PolicyLossCase.of(PPO, batch).fromLogProbs();
    Result scaled = PolicyLossCase.of(PPO, batch.withAdvantages(fourTimes)).fromLogProbs();
    assertThat(scaled.dLogProb).isEqualTo(Arrays.stream(plain.dLogProb).map(g -> 4 * g).toArray());
    assertThat(scaled.loss).isEqualTo(4 * plain.loss);
    assertThat(scaled.clipped).isEqualTo(plain.clipped);
  }

  @Property(tries = 60, seed = "20260701")
  void theGradientRaisesTokensWithPositiveAdvantage(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 30) int sequences) {
    ReferenceBatch batch = anyBatch(seed, sequences);
    double[] gradient = PolicyLossCase.of(PPO, batch).fromLogProbs().dLogProb;
    for (int t = 0; t < gradient.length; t++) {
      // Descent follows -gradient.
      assertThat(gradient[t] * batch.advantages()[t] <= 0).as("row %d", t).isTrue();
    }
  }
}
