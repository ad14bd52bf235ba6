package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Accuracy;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.SameBits;
import dev.polka.reference.Storage;
import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;

/** What holds for log_prob whatever the logits. */
class LogProbProperties {
  private static final double[] SCALES = {0.1, 1, 3, 10};

  private static LogProbCase anyCase(long seed, int rows, int cols, Storage storage) {
    double scale = SCALES[Noise.of(seed).below(0, 4)];
    float temperature = (float) Noise.of(seed).uniform(1, 0.4, 2.5);
    Logits logits = Logits.normal(storage, rows, cols, scale, 0, seed);
    long[] targets = Noise.of(seed).stream(2).indices(rows, cols);
    return LogProbCase.of(logits, ReferenceSoftmax.at(temperature), targets);
  }

  private static float[] upstream(LogProbCase c, long seed) {
    return Noise.of(seed).normals(c.targets().length, 1);
  }

  @Property(tries = 60, seed = "20260701")
  void anyShapeAndTemperatureMeetsTheBar(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 4) int rows,
      @ForAll @IntRange(min = 1, max = 6000) int cols,
      @ForAll Storage storage) {
    LogProbCase c = anyCase(seed, rows, cols, storage);
    c.assertForward();
    c.assertBackward();
  }

  /** Logits on a grid of 1/64, so that the shifted ones are exact. */
  @Property(tries = 60, seed = "20260701")
  void aCommonShiftChangesNoProbability(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 2, max = 3000) int cols,
      @ForAll @IntRange(min = -5000, max = 5000) int shift) {
    LogProbCase c = anyCase(seed, 2, cols, Storage.F32);
    float[] grid = c.logits().values().clone();
    float[] shifted = grid.clone();
    for (int i = 0; i < grid.length; i++) {
      grid[i] = Math.round(grid[i] * 64) / 64f;
      shifted[i] = grid[i] + shift;
    }
    LogProbCase.Outputs a = c.withLogits(c.logits().with(grid)).forward();
    LogProbCase.Outputs b = c.withLogits(c.logits().with(shifted)).forward();
    Accuracy.assertLogProbs("log_prob", b.logProb(), Storage.widen(a.logProb()));
    Accuracy.assertEntropies("entropy", cols, b.entropy(), Storage.widen(a.entropy()));
    Accuracy.assertProbabilities("top1", 1, b.top1(), Storage.widen(a.top1()));
  }

  @Property(tries = 60, seed = "20260701")
  void permutedRowsGivePermutedResults(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 12) int rows,
      @ForAll @IntRange(min = 1, max = 5000) int cols,
      @ForAll Storage storage) {
    LogProbCase c = anyCase(seed, rows, cols, storage);
    int[] order = permutation(seed, rows);
    long[] targets = new long[rows];
    float[] up = upstream(c, seed);
    float[] permutedUp = new float[rows];
    for (int i = 0; i < rows; i++) {
      targets[i] = c.targets()[order[i]];
      permutedUp[i] = up[order[i]];
    }
    LogProbCase permuted = LogProbCase.of(c.logits().rows(order), c.softmax(), targets);
    LogProbCase.Outputs plain = c.forward();
    LogProbCase.Outputs moved = permuted.forward();
    float[][] gradient = c.logits().split(c.backward(up, up, up));
    float[][] movedGradient =
        permuted.logits().split(permuted.backward(permutedUp, permutedUp, permutedUp));
    for (int i = 0; i < rows; i++) {
      assertThat(moved.logProb()[i]).isEqualTo(plain.logProb()[order[i]]);
      assertThat(moved.entropy()[i]).isEqualTo(plain.entropy()[order[i]]);
      SameBits.assertSame("gradient", movedGradient[i], gradient[order[i]]);
    }
  }

  static int[] permutation(long seed, int n) {
    Integer[] order = new Integer[n];
    Arrays.setAll(order, i -> i);
    Arrays.sort(order, java.util.Comparator.comparing(i -> Noise.of(seed).stream(9).bits(i)));
    return Arrays.stream(order).mapToInt(i -> i).toArray();
  }

  @Property(tries = 40, seed = "20260701")
  void permutedColumnsGiveTheSameLogProb(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 5000) int cols) {
    LogProbCase c = anyCase(seed, 1, cols, Storage.F32);
    int[] order = permutation(seed, cols);
    float[] values = new float[cols];
    int target = 0;
    for (int j = 0; j < cols; j++) {
      values[j] = c.logits().get(0, order[j]);
      target = order[j] == c.targets()[0] ? j : target;
    }
    LogProbCase permuted = LogProbCase.of(c.logits().with(values), c.softmax(), target);
    Accuracy.assertLogProbs(
        "log_prob", permuted.forward().logProb(), Storage.widen(c.forward().logProb()));
  }

  @Property(tries = 40, seed = "20260701")
  void probabilitiesOfAllTargetsSumToOne(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 40) int cols) {
    LogProbCase c = anyCase(seed, 1, cols, Storage.F32);
    long[] all = new long[cols];
    Arrays.setAll(all, j -> j);
    LogProbCase every = LogProbCase.of(c.logits().rows(new int[cols]), c.softmax(), all);
    double sum = 0;
    for (float logProb : every.forward().logProb()) {
      sum += Math.exp(logProb);
    }
    Accuracy.assertWithin("sum", sum, 1, 8 * Accuracy.EPS * Math.max(1, Math.log(cols)));
  }

  @Property(tries = 40, seed = "20260701")
  void everyGradientRowSumsToZero(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 4000) int cols) {
    LogProbCase c = anyCase(seed, 3, cols, Storage.F32);
    float[] up = upstream(c, seed);
    for (float[] gradient :
        new float[][] {
          c.backward(up, null, null), c.backward(null, up, null), c.backward(null, null, up)
        }) {
      float[][] rows = c.logits().split(gradient);
      for (int r = 0; r < 3; r++) {
        double sum = Arrays.stream(Storage.widen(rows[r])).sum();
        double scale = Math.abs(up[r]) / c.temperature(r) * Math.max(1, Math.log(cols));
        Accuracy.assertWithin("row " + r, sum, 0, 8 * Accuracy.EPS * scale);
      }
    }
  }

  @Property(tries = 40, seed = "20260701")
  void theGradientIsLinearInItsUpstreams(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 1, max = 3000) int cols) {
    LogProbCase c = anyCase(seed, 2, cols, Storage.F32);
    float[] up = upstream(c, seed);
    float[] twice = {2 * up[0], 2 * up[1]};
    float[] plain = c.backward(up, up, up);
    float[] doubled = c.backward(twice, twice, twice);
    for (int i = 0; i < plain.length; i++) {
      assertThat(doubled[i]).isEqualTo(2 * plain[i]);
    }
  }

  @Property(tries = 40, seed = "20260701")
  void aKeptSubsetIsTheSmallerVocabulary(
      @ForAll @LongRange(max = 1_000_000) long seed,
      @ForAll @IntRange(min = 2, max = 3000) int cols) {
    LogProbCase c = anyCase(seed, 1, cols, Storage.F32);
    int target = (int) c.targets()[0];
    boolean[] keep = Noise.of(seed).stream(5).booleans(cols, 0.5);
    keep[target] = true;
    float[] kept = new float[cols];
    int n = 0;
    int newTarget = 0;
    for (int j = 0; j < cols; j++) {
      newTarget = j == target ? n : newTarget;
      kept[n] = c.logits().get(0, j);
      n += keep[j] ? 1 : 0;
    }
    LogProbCase smaller =
        LogProbCase.of(
            Logits.of(Storage.F32, 1, n, Arrays.copyOf(kept, n)), c.softmax(), newTarget);
    LogProbCase masked = LogProbCase.of(c.logits(), c.softmax().withKeep(keep), target);
    Accuracy.assertLogProbs(
        "log_prob", masked.forward().logProb(), Storage.widen(smaller.forward().logProb()));
    Accuracy.assertEntropies(
        "self_certainty",
        n,
        masked.forward().selfCertainty(),
        Storage.widen(smaller.forward().selfCertainty()));
  }
}
