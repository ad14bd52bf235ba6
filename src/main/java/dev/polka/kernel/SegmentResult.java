package dev.polka.kernel;

import dev.polka.memory.Floats;
import dev.polka.memory.Placement;

/**
 * One number per segment, and the same spread over the tokens.
 *
 * <p>Belongs to one thread at a time. Closing frees what Polka allocated.
 */
public final class SegmentResult implements AutoCloseable {
  private final Floats perSegment;
  private final Floats perToken;
  private final boolean owned;

  private SegmentResult(Floats perSegment, Floats perToken, boolean owned) {
    this.perSegment = perSegment;
    this.perToken = perToken;
    this.owned = owned;
  }

  /**
   * Room for both.
   *
   * @param placement where the values lie
   * @param segments number of segments
   * @param tokens number of tokens
   * @return a result that owns its memory; close it
   * @throws IllegalArgumentException if a size is negative
   */
  public static SegmentResult allocate(Placement placement, long segments, long tokens) {
    Floats perSegment = Floats.allocate(placement, segments);
    return new SegmentResult(perSegment, Floats.allocate(placement, tokens), true);
  }

  /**
   * Memory that the caller has.
   *
   * @param perSegment f32, one per segment, or null if they are not wanted
   * @param perToken f32, one per token, or null if they are not wanted
   * @return a result that owns nothing
   */
  public static SegmentResult of(Floats perSegment, Floats perToken) {
    return new SegmentResult(perSegment, perToken, false);
  }

  /**
   * The result of each segment.
   *
   * @return one per segment
   * @throws IllegalStateException if the result has no room for them
   */
  public Floats perSegment() {
    return present(perSegment, "segment");
  }

  /**
   * Of each token its segment's result.
   *
   * @return one per token, 0 where masked
   * @throws IllegalStateException if the result has no room for them
   */
  public Floats perToken() {
    return present(perToken, "token");
  }

  private static Floats present(Floats values, String each) {
    if (values == null) {
      throw new IllegalStateException("SegmentResult: was made without one number per " + each);
    }
    return values;
  }

  Floats perSegmentOrNull() {
    return perSegment;
  }

  Floats perTokenOrNull() {
    return perToken;
  }

  /** Frees the memory that Polka allocated. */
  @Override
  public void close() {
    if (owned) {
      perSegment.close();
      perToken.close();
    }
  }
}
