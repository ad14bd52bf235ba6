package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import java.util.Arrays;

/**
 * Ratios per segment: in a dialogue with tools, one for each stretch that the policy wrote without
 * interruption (ROLL {@code ratio_type=segment}; a turn-level GSPO). A segment is handed to the
 * loss as if it were a sequence, so that {@code RatioLevel.SEQUENCE} takes the mean log-ratio over
 * the segment; advantages and token counts stay those of the sequence it is part of, so that
 * nothing is weighed differently:
 *
 * <pre>{@code
 * SegmentRatio segments = SegmentRatio.of(layout);
 * TokenBatch.ofOffsets(segments.layout().offsets()).withMask(segments.layout().mask())
 *     .withSequenceAdvantages(Floats.copyOf(segments.perSegment(advantages)));
 * Normalizer.sequences(sequences, Longs.copyOf(segments.tokenCounts()));
 * }</pre>
 *
 * <p>Immutable and thread-safe.
 */
public final class SegmentRatio {
  private final TokenLayout whole;
  private final TokenLayout segments;
  private final int[] owner;

  private SegmentRatio(TokenLayout whole, TokenLayout segments, int[] owner) {
    this.whole = whole;
    this.segments = segments;
    this.owner = owner;
  }

  /**
   * Segments that are separated by rows that do not count.
   *
   * @param layout the tokens; its mask leaves out what the policy did not write
   * @return the segments
   */
  public static SegmentRatio of(TokenLayout layout) {
    return of(layout, new boolean[layout.rows()]);
  }

  /**
   * Segments that are separated by rows that do not count, and by the starts given: of turns, say,
   * that follow one another directly.
   *
   * @param layout the tokens
   * @param starts one per row: true where a segment starts in any case
   * @return the segments
   * @throws IllegalArgumentException if there is not one start per row
   */
  public static SegmentRatio of(TokenLayout layout, boolean... starts) {
    layout.requireRows("starts", starts.length);
    long[] offsets = new long[layout.rows() + layout.sequences() + 1];
    int[] owner = new int[offsets.length];
    int count = 0;
    for (int b = 0; b < layout.sequences(); b++) {
      offsets[count] = layout.first(b);
      owner[count++] = b;
      boolean any = false;
      for (int row = layout.first(b); row < layout.end(b); row++) {
        boolean begins =
            layout.counts(row)
                && (starts[row] || row == layout.first(b) || !layout.counts(row - 1));
        if (begins && any) {
          offsets[count] = row;
          owner[count++] = b;
        }
        any |= begins;
      }
    }
    offsets[count] = layout.rows();
    boolean[] mask = new boolean[layout.rows()];
    for (int row = 0; row < mask.length; row++) {
      mask[row] = layout.counts(row);
    }
    TokenLayout segments = TokenLayout.ofOffsets(Arrays.copyOf(offsets, count + 1)).withMask(mask);
    return new SegmentRatio(layout, segments, Arrays.copyOf(owner, count));
  }

  /**
   * {@return the tokens, with the segments as sequences} Each segment has the rows up to the next
   * one; a sequence without tokens is one segment without tokens.
   */
  public TokenLayout layout() {
    return segments;
  }

  /**
   * {@return the sequence that a segment is part of}
   *
   * @param segment which
   */
  public int sequenceOf(int segment) {
    return owner[segment];
  }

  /**
   * Gives each segment the number of its sequence: its advantage, say.
   *
   * @param perSequence one per sequence
   * @return one per segment
   * @throws IllegalArgumentException if there is not one per sequence
   */
  public float[] perSegment(double... perSequence) {
    whole.requireSequences("perSequence", perSequence.length);
    float[] values = new float[owner.length];
    for (int s = 0; s < values.length; s++) {
      values[s] = (float) perSequence[owner[s]];
    }
    return values;
  }

  /** {@return the number of tokens of each segment's sequence, for {@code Normalizer.sequences}} */
  public long[] tokenCounts() {
    return Arrays.stream(owner).mapToLong(whole::tokens).toArray();
  }
}
