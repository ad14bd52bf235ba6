package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.VocabLogProbStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.kernel.internal.gen.polka_vocab_log_prob_args;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;
import java.util.function.ToIntFunction;

/**
 * Log-prob and entropy of logits whose columns are split over ranks, as a tensor-parallel head
 * leaves them. Each rank computes the {@link #statistics} of its shard; any all-gather brings them
 * together; {@link #merge} gives every rank the same bits; {@link #backward} the gradient of its
 * shard.
 *
 * <p>A shard is {@code [rows, its columns]} in f32, bf16 or f16; targets are columns of the whole
 * vocabulary. On the CPU only.
 *
 * <p>Source: the vocabulary-parallel cross entropy of Megatron-LM, Shoeybi et al. 2019.
 *
 * <p>Immutable and thread-safe.
 */
public final class VocabLogProb extends LogitsOperation<VocabLogProb> {
  /** Numbers a row in the statistics of a shard. */
  public static final int STATISTICS = 5;

  private final long firstColumn;
  private final long vocabulary;

  private VocabLogProb(CallOptions options, long firstColumn, long vocabulary) {
    super(options);
    this.firstColumn = firstColumn;
    this.vocabulary = vocabulary;
  }

  /**
   * The operation on one shard.
   *
   * @param firstColumn the column of the vocabulary that the shard's first one is
   * @param vocabulary columns of all shards together
   * @return the operation
   */
  public static VocabLogProb shard(long firstColumn, long vocabulary) {
    return new VocabLogProb(CallOptions.DEFAULT, firstColumn, vocabulary);
  }

  @Override
  VocabLogProb with(CallOptions other) {
    return new VocabLogProb(other, firstColumn, vocabulary);
  }

  /**
   * Computes what the other ranks need to know of a shard.
   *
   * @param shard the logits of the shard
   * @param targets columns of the whole vocabulary, or null for a divergence
   * @param out written: {@code [rows, STATISTICS]}
   * @throws IndexOutOfBoundsException if a target lies outside the vocabulary
   * @throws IllegalArgumentException if sizes, devices or options do not fit each other
   */
  public void statistics(Matrix shard, Targets targets, Floats out) {
    run(
        shard,
        targets,
        call -> call.out("statistics", out, words(shard, 1), VocabLogProbStruct.STATISTICS),
        PolkaNative::polka_vocab_log_prob_statistics);
  }

  /**
   * Merges the shards of each row.
   *
   * @param shard the logits of any shard, for their number of rows
   * @param statistics {@code [shards, rows, STATISTICS]}, gathered in the shards' order
   * @param shards their number
   * @param out written
   * @throws IndexOutOfBoundsException if a row's target is in no shard, or in several
   * @throws IllegalArgumentException if sizes, devices or options do not fit each other
   */
  public void merge(Matrix shard, Floats statistics, int shards, VocabLogProbs out) {
    run(
        shard,
        null,
        call -> {
          call.in("statistics", statistics, words(shard, shards), VocabLogProbStruct.STATISTICS);
          call.put(VocabLogProbStruct.SHARDS, shards);
          out.writeOut(call, shard.rows());
        },
        PolkaNative::polka_vocab_log_prob_merge);
  }

  /**
   * Computes the gradient of a shard.
   *
   * @param shard the logits of the shard
   * @param targets columns of the whole vocabulary
   * @param merged from the merge
   * @param dLogProb the gradient for the log-probs, one per row, or null
   * @param dEntropy the gradient for the entropies, one per row, or null
   * @param out written: the shard's shape, in its type or f32; the shard itself for in place
   * @throws IllegalArgumentException if sizes, devices or options do not fit each other
   */
  public void backward(
      Matrix shard,
      Targets targets,
      VocabLogProbs merged,
      Floats dLogProb,
      Floats dEntropy,
      Matrix out) {
    run(
        shard,
        targets,
        call -> {
          merged.writeIn(call, shard.rows());
          call.in("dLogProb", dLogProb, shard.rows(), VocabLogProbStruct.D_LOG_PROB);
          call.in("dEntropy", dEntropy, shard.rows(), VocabLogProbStruct.D_ENTROPY);
          if (out == shard) {
            call.inPlace("shard", shard, VocabLogProbStruct.D_LOGITS);
          } else {
            call.out("out", out, VocabLogProbStruct.D_LOGITS);
          }
        },
        PolkaNative::polka_vocab_log_prob_backward);
  }

  private static long words(Matrix shard, int shards) {
    return Math.multiplyExact(Math.multiplyExact(shard.rows(), (long) STATISTICS), (long) shards);
  }

  private interface Part {
    void write(NativeCall call);
  }

  private void run(
      Matrix shard, Targets targets, Part part, ToIntFunction<polka_vocab_log_prob_args> function) {
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(VocabLogProbStruct.SIZE);
      call.in("shard", shard, VocabLogProbStruct.LOGITS);
      options.softmax().write(call, struct, VocabLogProbStruct.SOFTMAX, shard);
      if (targets != null) {
        targets.write(call, struct, VocabLogProbStruct.TARGETS, shard.rows());
      }
      struct.putLong(VocabLogProbStruct.FIRST_COLUMN, firstColumn);
      struct.putLong(VocabLogProbStruct.VOCABULARY, vocabulary);
      struct.putFloat(VocabLogProbStruct.GRADIENT_SCALE, options.gradientScale());
      part.write(call);
      call.exec(options.threads());
      NativeStatus.check(function.applyAsInt(call.vocabLogProb()), shard.device());
      call.completed();
    } finally {
      call.exit();
    }
  }
}
