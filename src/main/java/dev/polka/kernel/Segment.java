package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.SegmentStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Floats;
import java.nio.ByteBuffer;

/**
 * One number per segment of tokens, such as the reward of a sequence from those of its tokens, or
 * the geometric mean of importance ratios from their logarithms.
 *
 * <table>
 * <caption>Reductions over the tokens x of a segment that are not masked</caption>
 * <tr><th>name</th><th>result</th><th>without a token</th></tr>
 * <tr><td>{@link #sum}</td><td>{@code sum x}</td><td>0</td></tr>
 * <tr><td>{@link #mean}</td><td>{@code mean x}</td><td>0</td></tr>
 * <tr><td>{@link #meanExp}</td><td>{@code mean exp(x)}</td><td>0</td></tr>
 * <tr><td>{@link #logMeanExp}</td><td>{@code ln mean exp(x)}</td><td>-infinity</td></tr>
 * <tr><td>{@link #max}</td><td>{@code max x}</td><td>-infinity</td></tr>
 * </table>
 *
 * <p>f64 within a segment, in the order of its tokens; results f32 and the same whatever the
 * threads and the other segments. A NaN makes its segment NaN.
 *
 * <p>Immutable and thread-safe.
 */
public final class Segment {
  private static final Segment SUM = new Segment(0);
  private static final Segment MEAN = new Segment(1);
  private static final Segment MEAN_EXP = new Segment(2);
  private static final Segment LOG_MEAN_EXP = new Segment(3);
  private static final Segment MAX = new Segment(4);

  private final int reduction;

  private Segment(int reduction) {
    this.reduction = reduction;
  }

  /** {@return the sum} */
  public static Segment sum() {
    return SUM;
  }

  /** {@return the arithmetic mean} */
  public static Segment mean() {
    return MEAN;
  }

  /** {@return the mean of the exponentials, such as a mean ratio from log-ratios} */
  public static Segment meanExp() {
    return MEAN_EXP;
  }

  /** {@return the logarithm of the mean of the exponentials, which never overflows} */
  public static Segment logMeanExp() {
    return LOG_MEAN_EXP;
  }

  /** {@return the largest} */
  public static Segment max() {
    return MAX;
  }

  /**
   * Reduces each segment and spreads the result over its tokens.
   *
   * @param values f32, one per token
   * @param segments where the segments are
   * @return both; close it
   * @throws IllegalArgumentException if segments and values do not fit each other, or offsets fall
   */
  public SegmentResult forward(Floats values, Segments segments) {
    SegmentResult out = SegmentResult.allocate(values.placement(), segments.count(), values.size());
    try {
      forward(values, segments, out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Reduces each segment into memory that exists. Allocates nothing.
   *
   * @param values f32, one per token
   * @param segments where the segments are
   * @param out written: what it has room for
   * @throws IllegalArgumentException if segments, values and {@code out} do not fit each other or
   *     overlap
   */
  public void forward(Floats values, Segments segments, SegmentResult out) {
    long count = values.size();
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(SegmentStruct.SIZE);
      call.in("values", values, count, SegmentStruct.VALUES);
      call.in("offsets", segments.offsets(), segments.count() + 1, SegmentStruct.OFFSETS);
      call.in("mask", segments.mask(), count, SegmentStruct.MASK);
      call.out("perSegment", out.perSegmentOrNull(), segments.count(), SegmentStruct.RESULTS);
      call.out("perToken", out.perTokenOrNull(), count, SegmentStruct.BROADCAST);
      struct.putLong(SegmentStruct.COUNT, count);
      struct.putLong(SegmentStruct.SEGMENTS, segments.count());
      struct.putInt(SegmentStruct.REDUCTION, reduction);
      call.exec(0);
      int status = PolkaNative.polka_segment(call.segment());
      NativeStatus.check(status, values.device());
      call.completed();
    } finally {
      call.exit();
    }
  }
}
