package dev.polka.conformance;

import static dev.polka.reference.Storage.widen;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.DivergenceCase;
import dev.polka.kernel.GroupAdvantageCase;
import dev.polka.kernel.LogProbCase;
import dev.polka.kernel.Logits;
import dev.polka.kernel.TokenKlCase;
import dev.polka.policy.Advantages;
import dev.polka.policy.RewardBatch;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import java.util.stream.IntStream;

/** Vectors of per-row and per-group operations, run through the library. */
final class KernelRuns {
  private KernelRuns() {}

  /** From f64 rewards where the peer computed in f64, and always from the same rewards as f32. */
  static void groupAdvantage(AdvantageVector vector, double f32Bar, double f64Bar) {
    GroupAdvantageCase c =
        new GroupAdvantageCase(
            vector.options().orElseThrow(), vector.rewards(), vector.groupOffsets());
    vector.checkPerSequence(f32Bar, widen(c.runF32()));
    vector.checkPerSequence(vector.computedInF64() ? f64Bar : f32Bar, c.runF64());
  }

  static void advantages(AdvantageVector vector, double f32Bar, double f64Bar) {
    boolean f64 = vector.computedInF64() && !vector.throughF32();
    RewardBatch batch = vector.batch();
    Advantages advantages = vector.library().forward(batch);
    vector.check("token_advantage", f64 ? f64Bar : f32Bar, vector.unpadded(advantages.perRow()));
    assertThat(paddingOf(batch, advantages.perRow())).containsOnly(0);
    if (vector.throughF32()) {
      vector.check("token_return", f32Bar, vector.unpadded(advantages.returns()));
    }
  }

  private static double[] paddingOf(RewardBatch batch, double[] perRow) {
    return IntStream.range(0, perRow.length)
        .filter(row -> !batch.layout().counts(row))
        .mapToDouble(row -> perRow[row])
        .toArray();
  }

  static void tokenKl(TokenKlVector vector, double bar) {
    float[] logProb = Storage.toF32(vector.logProb());
    float[] reference = Storage.toF32(vector.refLogProb());
    TokenKlCase.Outputs out = TokenKlCase.of(vector.options(), logProb, reference).run();
    vector.check(bar, widen(out.kl()), widen(out.gradient()));
  }

  static void logProb(LogProbVector vector, double bar) {
    LogProbCase c =
        LogProbCase.of(
            logits(vector.logits()),
            ReferenceSoftmax.exactlyAt(vector.temperature()),
            vector.targets());
    LogProbCase.Outputs out = c.forward();
    vector.checkValues("log_prob", bar, widen(out.logProb()));
    vector.checkValues("entropy", bar, widen(out.entropy()));
    vector.checkValues("log_sum_exp", bar, widen(out.lse()));
    float[] dLogProb = Storage.toF32(vector.dLogProb());
    float[] dEntropy = Storage.toF32(vector.dEntropy());
    int cols = vector.logits()[0].length;
    vector.checkGradient(
        "d_logits_from_log_prob",
        bar,
        vector.dLogProb(),
        rows(c.backward(dLogProb, null, null), cols));
    vector.checkGradient(
        "d_logits_from_entropy",
        bar,
        vector.dEntropy(),
        rows(c.backward(null, dEntropy, null), cols));
  }

  static void divergence(DivergenceVector vector, double bar) {
    Logits student = logits(vector.student());
    DivergenceCase.Outputs out =
        DivergenceCase.of(
                vector.divergence(),
                student,
                logits(vector.teacher()),
                ReferenceSoftmax.exactlyAt(vector.temperature()))
            .withWeight(Storage.toF32(vector.upstream()))
            .run();
    vector.check(bar, widen(out.value()), rows(out.gradient(), student.cols()));
  }

  private static Logits logits(double[][] rows) {
    float[] values = Storage.toF32(GoldenCase.flat(rows));
    return Logits.of(Storage.F32, rows.length, rows[0].length, values);
  }

  /** A flat matrix, cut into rows. */
  static double[][] rows(float[] flat, int cols) {
    double[][] rows = new double[flat.length / cols][];
    for (int r = 0; r < rows.length; r++) {
      rows[r] = widen(java.util.Arrays.copyOfRange(flat, r * cols, (r + 1) * cols));
    }
    return rows;
  }
}
