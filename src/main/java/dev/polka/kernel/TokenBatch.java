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
import java.util.function.Consumer;

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
  private final Parts parts; // never changed again

  private enum AdvantageLevel {
    BY_SIZE,
    TOKEN,
    SEQUENCE
  }

  /** Everything there is about a batch; null where absent. */
  private static final class Parts implements Cloneable {
    Targets targets; // null: log-probs come from the caller
    Bytes mask; // where there are no targets
    Longs offsets;
    Floats old;
    Floats reference;
    Floats behaviour;
    Floats advantages;
    AdvantageLevel advantageLevel = AdvantageLevel.BY_SIZE;
    Floats weights;
    Floats anchorWeights;
    Floats likelihoodWeights;
    Normalizer entropyNormalizer;
    Normalizer likelihoodNormalizer;

    @Override
    public Parts clone() {
      try {
        return (Parts) super.clone();
      } catch (CloneNotSupportedException impossible) {
        throw new AssertionError(impossible);
      }
    }
  }

  private TokenBatch(Parts parts) {
    this.parts = parts;
  }

  private TokenBatch with(Consumer<Parts> change) {
    Parts changed = parts.clone();
    change.accept(changed);
    return new TokenBatch(changed);
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
    Objects.requireNonNull(targets, "targets");
    return ofOffsets(offsets).with(p -> p.targets = targets);
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
    Objects.requireNonNull(offsets, "offsets");
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
    return parts.targets == null
        ? with(p -> p.mask = mask)
        : with(p -> p.targets = p.targets.withMask(mask));
  }

  /**
   * Adds log-probs under the policy at the start of the update. Without them the ratio is 1.
   *
   * @param old one per row
   * @return the batch with them
   */
  public TokenBatch withOld(Floats old) {
    Objects.requireNonNull(old, "old");
    return with(p -> p.old = old);
  }

  /**
   * Adds log-probs under the reference policy, for a KL term.
   *
   * @param reference one per row
   * @return the batch with them
   */
  public TokenBatch withReference(Floats reference) {
    Objects.requireNonNull(reference, "reference");
    return with(p -> p.reference = reference);
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
    Objects.requireNonNull(advantages, "advantages");
    return with(
        p -> {
          p.advantages = advantages;
          p.advantageLevel = level;
        });
  }

  /**
   * Adds importance weights, which multiply the policy term and have no gradient: the correction
   * for tokens sampled by another engine, say. Without them they are 1.
   *
   * @param weights one per row
   * @return the batch with them
   */
  public TokenBatch withWeights(Floats weights) {
    Objects.requireNonNull(weights, "weights");
    return with(p -> p.weights = weights);
  }

  /**
   * Adds log-probs under the sampler, for {@link ObjectiveOptions#withOffPolicyMask}. Without them
   * the old ones count.
   *
   * @param behaviour one per row
   * @return the batch with them
   */
  public TokenBatch withBehaviour(Floats behaviour) {
    Objects.requireNonNull(behaviour, "behaviour");
    return with(p -> p.behaviour = behaviour);
  }

  /**
   * Says how much each token is pulled by {@link ObjectiveOptions#withAnchor}. Without them all by
   * 1.
   *
   * @param weights one per row
   * @return the batch with them
   */
  public TokenBatch withAnchorWeights(Floats weights) {
    Objects.requireNonNull(weights, "weights");
    return with(p -> p.anchorWeights = weights);
  }

  /**
   * Says how much each token counts in {@link ObjectiveOptions#withLikelihood}. Without them,
   * tokens with positive advantage do.
   *
   * @param weights one per row
   * @return the batch with them
   */
  public TokenBatch withLikelihoodWeights(Floats weights) {
    Objects.requireNonNull(weights, "weights");
    return with(p -> p.likelihoodWeights = weights);
  }

  /**
   * Divides the likelihood term by something else than the rest of the loss: by the number of
   * tokens with positive advantage, say.
   *
   * @param normalizer what the sum of log-probs is divided by
   * @return the batch with it
   */
  public TokenBatch withLikelihoodNormalizer(Normalizer normalizer) {
    Objects.requireNonNull(normalizer, "normalizer");
    return with(p -> p.likelihoodNormalizer = normalizer);
  }

  /**
   * Divides the entropy bonus by something else than the rest of the loss.
   *
   * @param normalizer what the sum of entropies is divided by
   * @return the batch with it
   */
  public TokenBatch withEntropyNormalizer(Normalizer normalizer) {
    Objects.requireNonNull(normalizer, "normalizer");
    return with(p -> p.entropyNormalizer = normalizer);
  }

  /**
   * The number of sequences.
   *
   * @return sequences, empty ones included
   */
  public long sequences() {
    return parts.offsets.size() - 1;
  }

  /**
   * Counts the tokens of each sequence that are not skipped, for {@link Normalizer#sequences}.
   * Reads host memory; add the counts of all micro-batches up before dividing by them.
   *
   * @return one count per sequence; close it
   * @throws IllegalArgumentException if offsets fall, are negative, or beyond the rows of targets
   *     or mask
   */
  public Longs countTokens() {
    long rows =
        parts.targets != null
            ? parts.targets.size()
            : parts.mask == null ? Long.MAX_VALUE : parts.mask.size();
    long[] starts = Require.offsets("offsets", parts.offsets.toArray(), rows);
    long[] counts = new long[starts.length - 1];
    for (int b = 0; b < counts.length; b++) {
      for (long row = starts[b]; row < starts[b + 1]; row++) {
        boolean counted =
            parts.targets == null
                ? parts.mask == null || parts.mask.get(row) != 0
                : parts.targets.counts(row);
        counts[b] += counted ? 1 : 0;
      }
    }
    return Longs.copyOf(counts);
  }

  Normalizer entropyNormalizer(Normalizer otherwise) {
    return parts.entropyNormalizer == null ? otherwise : parts.entropyNormalizer;
  }

  Normalizer likelihoodNormalizer(Normalizer otherwise) {
    return parts.likelihoodNormalizer == null ? otherwise : parts.likelihoodNormalizer;
  }

  /**
   * {@return the targets, one per row}
   *
   * @throws IllegalArgumentException if the batch is one of offsets alone
   */
  public Targets targets() {
    if (parts.targets == null) {
      throw new IllegalArgumentException(
          "targets: are missing; a batch of offsets alone is for callers who hold log-probs");
    }
    return parts.targets;
  }

  void requireReference() {
    if (parts.reference == null) {
      throw new IllegalArgumentException(
          "reference: log-probs are missing, which the KL term needs; add them by withReference");
    }
  }

  void write(NativeCall call, ByteBuffer struct, int at, long rows) {
    if (parts.advantages == null) {
      throw new IllegalArgumentException("advantages: are missing; add them by withAdvantages");
    }
    boolean perSequence = advantagesArePerSequence(rows);
    struct.putLong(at + TokenBatchStruct.SEQUENCES, sequences());
    struct.putInt(at + TokenBatchStruct.ADVANTAGE_PER_SEQUENCE, perSequence ? 1 : 0);
    call.in("offsets", parts.offsets, parts.offsets.size(), at + TokenBatchStruct.OFFSETS);
    call.in("old", parts.old, rows, at + TokenBatchStruct.OLD_LOG_PROB);
    call.in("reference", parts.reference, rows, at + TokenBatchStruct.REF_LOG_PROB);
    call.in(
        "advantages",
        parts.advantages,
        perSequence ? sequences() : rows,
        at + TokenBatchStruct.ADVANTAGES);
    call.in("weights", parts.weights, rows, at + TokenBatchStruct.WEIGHTS);
    call.in("behaviour", parts.behaviour, rows, at + TokenBatchStruct.BEHAVIOUR_LOG_PROB);
    call.in("anchorWeights", parts.anchorWeights, rows, at + TokenBatchStruct.ANCHOR_WEIGHTS);
    call.in("likelihoodWeights", parts.likelihoodWeights, rows, at + TokenBatchStruct.NLL_WEIGHTS);
  }

  private boolean advantagesArePerSequence(long rows) {
    if (parts.advantageLevel != AdvantageLevel.BY_SIZE) {
      return parts.advantageLevel == AdvantageLevel.SEQUENCE;
    }
    long size = parts.advantages.size();
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
      if (parts.offsets.get(b) != b) {
        return false;
      }
    }
    return true;
  }

  /** For log-probs that the caller holds, only the mask of the targets is of use. */
  void writeMask(NativeCall call, ByteBuffer struct, int at, long rows) {
    if (parts.targets != null) {
      parts.targets.write(call, struct, at, rows);
    } else {
      call.in("mask", parts.mask, rows, at + TargetsStruct.MASK);
      struct.putInt(at + TargetsStruct.DTYPE, DType.I64.code());
    }
  }
}
