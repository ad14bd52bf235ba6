package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.VocabLogProbStruct;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;

/**
 * What the merge of {@link VocabLogProb} gives for each row of the whole vocabulary.
 *
 * <p>Belongs to one thread at a time. Closing frees its memory.
 */
public final class VocabLogProbs implements AutoCloseable {
  private final Floats memory; // the five, one after the other
  private final Floats logProb;
  private final Floats max;
  private final Floats logSum;
  private final Floats lse;
  private final Floats entropy;

  private VocabLogProbs(Matrix shard) {
    long rows = shard.rows();
    this.memory = Floats.allocate(shard.placement(), Math.multiplyExact(rows, 5L));
    this.logProb = memory.slice(0, rows);
    this.max = memory.slice(rows, rows);
    this.logSum = memory.slice(2 * rows, rows);
    this.lse = memory.slice(3 * rows, rows);
    this.entropy = memory.slice(4 * rows, rows);
  }

  /**
   * Room for the rows of a shard.
   *
   * @param shard any matrix with these rows
   * @return a result that owns its memory; close it
   */
  public static VocabLogProbs allocate(Matrix shard) {
    return new VocabLogProbs(shard);
  }

  /**
   * The log-prob of each row's target; 0 where there is none.
   *
   * @return one per row
   */
  public Floats logProb() {
    return logProb;
  }

  /**
   * The largest logit, after softcap and before temperature.
   *
   * @return one per row
   */
  public Floats max() {
    return max;
  }

  /**
   * The log of the sum of exponentials relative to the largest.
   *
   * @return one per row
   */
  public Floats logSum() {
    return logSum;
  }

  /**
   * The log-sum-exp.
   *
   * @return one per row
   */
  public Floats lse() {
    return lse;
  }

  /**
   * The entropy, in nats.
   *
   * @return one per row
   */
  public Floats entropy() {
    return entropy;
  }

  void writeOut(NativeCall call, long rows) {
    call.out("logProb", logProb, rows, VocabLogProbStruct.LOG_PROB);
    call.out("max", max, rows, VocabLogProbStruct.MAX);
    call.out("logSum", logSum, rows, VocabLogProbStruct.LOG_SUM);
    call.out("lse", lse, rows, VocabLogProbStruct.LSE);
    call.out("entropy", entropy, rows, VocabLogProbStruct.ENTROPY);
  }

  void writeIn(NativeCall call, long rows) {
    call.in("logProb", logProb, rows, VocabLogProbStruct.LOG_PROB);
    call.in("max", max, rows, VocabLogProbStruct.MAX);
    call.in("logSum", logSum, rows, VocabLogProbStruct.LOG_SUM);
    call.in("entropy", entropy, rows, VocabLogProbStruct.ENTROPY);
  }

  void writePair(NativeCall call, long rows, int maxAt, int logSumAt) {
    call.in("max", max, rows, maxAt);
    call.in("logSum", logSum, rows, logSumAt);
  }

  @Override
  public void close() {
    memory.close();
  }
}
