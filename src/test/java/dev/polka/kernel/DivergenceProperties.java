package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.SameBits;
import dev.polka.reference.Storage;
import java.util.Arrays;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;

/** What holds for every divergence whatever the logits. */
class DivergenceProperties {
  private static final double[] SCALES = {0.01, 0.3, 2, 8};

  @Provide
  Arbitrary<ReferenceDivergence> kinds() {
    return Arbitraries.of(
        ReferenceDivergence.forwardKl(),
        ReferenceDivergence.reverseKl(),
        ReferenceDivergence.jsd(0.5),
        ReferenceDivergence.jsd(0.05f),
        ReferenceDivergence.jsd(0.95f),
        ReferenceDivergence.skewForwardKl(0.1f),
        ReferenceDivergence.skewReverseKl(0.1f),
        ReferenceDivergence.totalVariation(),
        ReferenceDivergence.chiSquared(),
        ReferenceDivergence.generalizedKl(),
        ReferenceDivergence.alpha(0.3f),
        ReferenceDivergence.alpha(0.7f));
  }

  private static DivergenceCase anyCase(ReferenceDivergence kind, long seed, int rows, int cols) {
    double scale = SCALES[Noise.of(seed).below(0, 4)];
    float temperature = (float) Noise.of(seed).uniform(1, 0.5, 2.5);
    return DivergenceCase.of(
        kind,
        Logits.normal(Storage.F32, rows, cols, scale, 0, seed),
        Logits.normal(Storage.F32, rows, cols, scale, 0, ~seed),
        ReferenceSoftmax.at(temperature));
  }

  @Property(tries = 60, seed = "20260701")
  void noDivergenceIsNegative(
      @ForAll("kinds") ReferenceDivergence kind,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 4) int rows,
      @ForAll @IntRange(min = 1, max = 5000) int cols) {
    for (float value : anyCase(kind, seed, rows, cols).run().value()) {
      assertThat(value).isNotNegative().isNotNaN();
    }
  }

  @Property(tries = 60, seed = "20260701")
  void equalDistributionsHaveNoDivergenceAndNoGradient(
      @ForAll("kinds") ReferenceDivergence kind,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 5000) int cols) {
    DivergenceCase c = anyCase(kind, seed, 2, cols);
    DivergenceCase.Outputs out = c.withLogits(c.student(), c.student()).run();
    for (float value : out.value()) {
      assertThat(value).isBetween(0f, 1e-7f);
    }
    for (float gradient : out.gradient()) {
      assertThat(gradient).isBetween(-1e-7f, 1e-7f);
    }
  }

  /** The teacher is the student moved by a constant: the same distribution, other logits. */
  @Property(tries = 60, seed = "20260701")
  void shiftedDistributionsHaveNoDivergence(
      @ForAll("kinds") ReferenceDivergence kind,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 3000) int cols,
      @ForAll @IntRange(min = -5000, max = 5000) int shift) {
    DivergenceCase c = anyCase(kind, seed, 2, cols);
    float[] grid = c.student().values().clone();
    float[] shifted = grid.clone();
    for (int i = 0; i < grid.length; i++) {
      grid[i] = Math.round(grid[i] * 64) / 64f;
      shifted[i] = grid[i] + shift;
    }
    DivergenceCase equal = c.withLogits(c.student().with(grid), c.student().with(shifted));
    for (float value : equal.run().value()) {
      assertThat(value).isBetween(0f, (float) (4 * Accuracy.EPS * Math.max(1, Math.log(cols))));
    }
  }

  @Property(tries = 40, seed = "20260701")
  void halfJsdIsSymmetricAndAtMostLnTwo(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 4000) int cols) {
    DivergenceCase c = anyCase(ReferenceDivergence.jsd(0.5), seed, 2, cols);
    float[] there = c.run().value();
    float[] back = c.withLogits(c.teacher(), c.student()).run().value();
    Accuracy.assertEntropies("jsd", cols, there, Storage.widen(back));
    for (float value : there) {
      assertThat(value).isLessThanOrEqualTo((float) Math.log(2) + 4 * (float) Accuracy.EPS);
    }
  }

  @Property(tries = 40, seed = "20260701")
  void forwardKlIsReverseKlWithTheSidesExchanged(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 4000) int cols) {
    DivergenceCase c = anyCase(ReferenceDivergence.forwardKl(), seed, 2, cols);
    DivergenceCase exchanged =
        DivergenceCase.of(ReferenceDivergence.reverseKl(), c.teacher(), c.student(), c.softmax());
    Accuracy.assertEntropies("kl", cols, c.run().value(), Storage.widen(exchanged.run().value()));
  }

  @Property(tries = 40, seed = "20260701")
  void everyGradientRowSumsToZero(
      @ForAll("kinds") ReferenceDivergence kind,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 4000) int cols) {
    DivergenceCase c = anyCase(kind, seed, 2, cols);
    DivergenceCase.Outputs out = c.run();
    float[][] rows = c.student().split(out.gradient());
    for (int r = 0; r < 2; r++) {
      double sum = Arrays.stream(Storage.widen(rows[r])).sum();
      double scale = Math.max(Math.max(1, Math.log(cols)), out.value()[r]);
      double bound = 8 * Accuracy.EPS * scale / c.softmax().temperature();
      Accuracy.assertWithin("row " + r, sum, 0, bound);
    }
  }

  @Property(tries = 40, seed = "20260701")
  void permutedRowsGivePermutedResults(
      @ForAll("kinds") ReferenceDivergence kind,
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 9) int rows,
      @ForAll @IntRange(min = 1, max = 5000) int cols) {
    DivergenceCase c = anyCase(kind, seed, rows, cols);
    int[] order = LogProbProperties.permutation(seed, rows);
    DivergenceCase.Outputs plain = c.run();
    DivergenceCase.Outputs moved =
        c.withLogits(c.student().rows(order), c.teacher().rows(order)).run();
    float[][] gradient = c.student().split(plain.gradient());
    for (int i = 0; i < rows; i++) {
      assertThat(moved.value()[i]).isEqualTo(plain.value()[order[i]]);
      SameBits.assertSame("gradient", c.student().split(moved.gradient())[i], gradient[order[i]]);
    }
  }
}
