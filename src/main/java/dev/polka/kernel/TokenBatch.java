package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.TargetsStruct;
import dev.polka.kernel.internal.TokenBatchStruct;
import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * The tokens of a policy-gradient step: which they are, how they form sequences, and what is known
 * of each. Rows of all sequences follow one another; sequence b owns rows {@code [offsets[b],
 * offsets[b + 1])}. A padded {@code [B, T]} batch has offsets 0, T, 2T, ... and a mask.
 *
 * <p>All values are f32, one per row: log-probs in nats.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class TokenBatch {
  private final Targets targets; // null: log-probs come from the caller
  private final Bytes mask; // where there are no targets
  private final Longs offsets;
  private final Floats old;
  private final Floats reference;
  private final Floats advantages;
  private final AdvantageLevel advantageLevel;
  private final Floats weights;
  private final Normalizer entropyNormalizer;

  private enum AdvantageLevel {
    BY_SIZE,
    TOKEN,
    SEQUENCE
  }

  /** The parts that a with-method replaces one of. */
  private static final class Parts {
    Targets targets;
    Bytes mask;
    Longs offsets;
    Floats old;
    Floats reference;
    Floats advantages;
    AdvantageLevel advantageLevel = AdvantageLevel.BY_SIZE;
    Floats weights;
    Normalizer entropyNormalizer;
  }

  private TokenBatch(Parts parts) {
    targets = parts.targets;
    mask = parts.mask;
    offsets = parts.offsets;
    old = parts.old;
    reference = parts.reference;
    advantages = parts.advantages;
    advantageLevel = parts.advantageLevel;
    weights = parts.weights;
    entropyNormalizer = parts.entropyNormalizer;
  }

  private Parts parts() {
    var parts = new Parts();
    parts.targets = targets;
    parts.mask = mask;
    parts.offsets = offsets;
    parts.old = old;
    parts.reference = reference;
    parts.advantages = advantages;
    parts.advantageLevel = advantageLevel;
    parts.weights = weights;
    parts.entropyNormalizer = entropyNormalizer;
    return parts;
  }

  /**
   * A batch of tokens.
   *
   * @param targets one per row
   * @param offsets {@code [sequences + 1]} the first row of each sequence, from 0, and the number
   *     of rows
   * @return the batch, still without advantages
   * @throws IllegalArgumentException if there is not even one offset
   */
  public static TokenBatch of(Targets targets, Longs offsets) {
    TokenBatch bare = ofOffsets(offsets);
    Parts parts = bare.parts();
    parts.targets = Objects.requireNonNull(targets, "targets");
    return new TokenBatch(parts);
  }

  /**
   * A batch of tokens whose targets have the ignore index -100 and no mask.
   *
   * @param targets one per row
   * @param offsets {@code [sequences + 1]} the first row of each sequence, from 0, and the number
   *     of rows
   * @return the batch, still without advantages
   * @throws IllegalArgumentException if there is not even one offset
   */
  public static TokenBatch of(Longs targets, Longs offsets) {
    return of(Targets.of(targets), offsets);
  }

  /**
   * A batch for callers who hold log-probs, and so need no targets.
   *
   * @param offsets {@code [sequences + 1]} the first row of each sequence, from 0, and the number
   *     of rows
   * @return the batch, still without advantages
   * @throws IllegalArgumentException if there is not even one offset
   */
  public static TokenBatch ofOffsets(Longs offsets) {
    if (offsets.size() < 1) {
      throw new IllegalArgumentException(
          "offsets: has no elements; even no sequences need the one offset 0");
    }
    var parts = new Parts();
    parts.offsets = offsets;
    return new TokenBatch(parts);
  }

  /**
   * Skips rows; replaces the mask of the targets, if they have one.
   *
   * @param mask one byte per row, 0 = skip
   * @return the batch with it
   */
  public TokenBatch withMask(Bytes mask) {
    Objects.requireNonNull(mask, "mask");
    Parts parts = parts();
    if (targets == null) {
      parts.mask = mask;
    } else {
      parts.targets = targets.withMask(mask);
    }
    return new TokenBatch(parts);
  }

  /**
   * Adds log-probs under the policy at the start of the update. Without them the ratio is 1.
   *
   * @param old one per row
   * @return the batch with them
   */
  public TokenBatch withOld(Floats old) {
    Parts parts = parts();
    parts.old = Objects.requireNonNull(old, "old");
    return new TokenBatch(parts);
  }

  /**
   * Adds log-probs under the reference policy, for a KL term.
   *
   * @param reference one per row
   * @return the batch with them
   */
  public TokenBatch withReference(Floats reference) {
    Parts parts = parts();
    parts.reference = Objects.requireNonNull(reference, "reference");
    return new TokenBatch(parts);
  }

  /**
   * Adds advantages; their number says whether they are per token or per sequence. Where there are
   * as many tokens as sequences and they are not one to one, {@link #withTokenAdvantages} or {@link
   * #withSequenceAdvantages} has to say it.
   *
   * @param advantages one per row, or one per sequence
   * @return the batch with them
   */
  public TokenBatch withAdvantages(Floats advantages) {
    return with(advantages, AdvantageLevel.BY_SIZE);
  }

  /**
   * Adds an advantage for each token.
   *
   * @param advantages one per row
   * @return the batch with them
   */
  public TokenBatch withTokenAdvantages(Floats advantages) {
    return with(advantages, AdvantageLevel.TOKEN);
  }

  /**
   * Adds an advantage for each sequence.
   *
   * @param advantages one per sequence
   * @return the batch with them
   */
  public TokenBatch withSequenceAdvantages(Floats advantages) {
    return with(advantages, AdvantageLevel.SEQUENCE);
  }

  private TokenBatch with(Floats advantages, AdvantageLevel level) {
    Parts parts = parts();
    parts.advantages = Objects.requireNonNull(advantages, "advantages");
    parts.advantageLevel = level;
    return new TokenBatch(parts);
  }

  /**
   * Adds importance weights, which multiply the policy term and have no gradient: the correction
   * for tokens sampled by another engine, say. Without them they are 1.
   *
   * @param weights one per row
   * @return the batch with them
   */
  public TokenBatch withWeights(Floats weights) {
    Parts parts = parts();
    parts.weights = Objects.requireNonNull(weights, "weights");
    return new TokenBatch(parts);
  }

  /**
   * Divides the entropy bonus by something else than the rest of the loss.
   *
   * @param normalizer what the sum of entropies is divided by
   * @return the batch with it
   */
  public TokenBatch withEntropyNormalizer(Normalizer normalizer) {
    Parts parts = parts();
    parts.entropyNormalizer = Objects.requireNonNull(normalizer, "normalizer");
    return new TokenBatch(parts);
  }

  /**
   * The number of sequences.
   *
   * @return sequences, empty ones included
   */
  public long sequences() {
    return offsets.size() - 1;
  }

  /**
   * Counts the tokens of each sequence that are not skipped, for {@link Normalizer#sequences}.
   * Reads host memory; add the counts of all micro-batches up before dividing by them.
   *
   * @return one count per sequence; close it
   * @throws IndexOutOfBoundsException if an offset is beyond the rows
   */
  public Longs countTokens() {
    long[] starts = offsets.toArray();
    long[] counts = new long[starts.length - 1];
    for (int b = 0; b < counts.length; b++) {
      for (long row = starts[b]; row < starts[b + 1]; row++) {
        boolean counted =
            targets == null ? mask == null || mask.get(row) != 0 : targets.counts(row);
        counts[b] += counted ? 1 : 0;
      }
    }
    return Longs.copyOf(counts);
  }

  Normalizer entropyNormalizer(Normalizer otherwise) {
    return entropyNormalizer == null ? otherwise : entropyNormalizer;
  }

  Targets requireTargets() {
    if (targets == null) {
      throw new IllegalArgumentException(
          "targets: are missing; a batch of offsets alone is for callers who hold log-probs");
    }
    return targets;
  }

  void requireReference() {
    if (reference == null) {
      throw new IllegalArgumentException(
          "reference: log-probs are missing, which the KL term needs; add them by withReference");
    }
  }

  void write(NativeCall call, ByteBuffer struct, int at, long rows) {
    if (advantages == null) {
      throw new IllegalArgumentException("advantages: are missing; add them by withAdvantages");
    }
    boolean perSequence = advantagesArePerSequence(rows);
    struct.putLong(at + TokenBatchStruct.SEQUENCES, sequences());
    struct.putInt(at + TokenBatchStruct.ADVANTAGE_PER_SEQUENCE, perSequence ? 1 : 0);
    call.in("offsets", offsets, offsets.size(), at + TokenBatchStruct.OFFSETS);
    call.in("old", old, rows, at + TokenBatchStruct.OLD_LOG_PROB);
    call.in("reference", reference, rows, at + TokenBatchStruct.REF_LOG_PROB);
    call.in(
        "advantages",
        advantages,
        perSequence ? sequences() : rows,
        at + TokenBatchStruct.ADVANTAGES);
    call.in("weights", weights, rows, at + TokenBatchStruct.WEIGHTS);
  }

  private boolean advantagesArePerSequence(long rows) {
    if (advantageLevel != AdvantageLevel.BY_SIZE) {
      return advantageLevel == AdvantageLevel.SEQUENCE;
    }
    long size = advantages.size();
    if (size != rows && size != sequences()) {
      throw new IllegalArgumentException(
          "advantages: has "
              + size
              + " elements; "
              + rows
              + " (one per row) or "
              + sequences()
              + " (one per sequence) are needed");
    }
    if (rows == sequences() && !isOneToOne(rows)) {
      throw new IllegalArgumentException(
          "advantages: there are as many rows as sequences, "
              + rows
              + "; say which by withTokenAdvantages or withSequenceAdvantages");
    }
    return size != rows;
  }

  private boolean isOneToOne(long rows) {
    for (long b = 0; b < rows; b++) {
      if (offsets.get(b) != b) {
        return false;
      }
    }
    return true;
  }

  /** For log-probs that the caller holds, only the mask of the targets is of use. */
  void writeMask(NativeCall call, ByteBuffer struct, int at, long rows) {
    if (targets != null) {
      targets.write(call, struct, at, rows);
    } else {
      call.in("mask", mask, rows, at + TargetsStruct.MASK);
      struct.putInt(at + TargetsStruct.DTYPE, DType.I64.code());
    }
  }
}
