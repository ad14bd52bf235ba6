package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.ValueLossStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Floats;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * The loss of a value function, and its gradient for the values: with v the value of a token, R its
 * return and v0 its value at the start of the update,
 *
 * <pre>{@code
 * l = f(v - R), or with a clip c  max(f(v - R), f(v0 + clamp(v - v0, -c, c) - R))
 * f(e) = e^2 / 2, or Huber's: delta (|e| - delta / 2) where |e| > delta
 * loss = sum_t n_t l_t
 * }</pre>
 *
 * <p>n_t is by the {@link Normalizer}. Where the clamped value decides, the gradient is 0; at a tie
 * and at the bound it flows. slime leaves the factor 1/2 out. On the CPU.
 *
 * <p>Sources: Schulman et al. 2017; Huber 1964 (AReaL). verl's and OpenRLHF's clip is 0.5, SkyRL's
 * and slime's 0.2, AReaL's Huber delta 10; NeMo-RL does not clip.
 *
 * <p>Immutable and thread-safe.
 */
public final class ValueLoss {
  private final float clip;
  private final float huberDelta;
  private final float gradientScale;
  private final boolean skipNonFinite;

  private ValueLoss(float clip, float huberDelta, float gradientScale, boolean skipNonFinite) {
    this.clip = clip;
    this.huberDelta = huberDelta;
    this.gradientScale = gradientScale;
    this.skipNonFinite = skipNonFinite;
  }

  /** {@return half the squared error, without a clip} */
  public static ValueLoss squared() {
    return new ValueLoss(0, 0, 1, false);
  }

  /**
   * Huber's loss, without a clip.
   *
   * @param delta from where on it is linear
   * @return the loss
   * @throws IllegalArgumentException if {@code delta} is not finite and > 0
   */
  public static ValueLoss huber(float delta) {
    return new ValueLoss(0, Require.positive("huberDelta", delta), 1, false);
  }

  /**
   * Lets a value gain nothing by moving farther than this from the old one.
   *
   * @param range the bound
   * @return the loss with it
   * @throws IllegalArgumentException if {@code range} is not finite and > 0
   */
  public ValueLoss withClip(float range) {
    Require.positive("clip", range);
    return new ValueLoss(range, huberDelta, gradientScale, skipNonFinite);
  }

  /**
   * Multiplies the gradient, but not the loss.
   *
   * @param scale the factor; 1 unless set
   * @return the loss with it
   * @throws IllegalArgumentException if {@code scale} is 0 or not finite
   */
  public ValueLoss withGradientScale(float scale) {
    Require.gradientScale(scale);
    return new ValueLoss(clip, huberDelta, scale, skipNonFinite);
  }

  /**
   * {@return the loss that masks rows whose value, old value or return is not finite} Otherwise
   * they make the loss and their gradient NaN. The metrics count them either way.
   */
  public ValueLoss withSkipNonFinite() {
    return new ValueLoss(clip, huberDelta, gradientScale, true);
  }

  /**
   * Computes loss and metrics.
   *
   * @param values f32, one per token
   * @param batch returns, old values, sequences and mask
   * @param normalizer what the loss is divided by
   * @return a result without gradient; close it
   * @throws IllegalArgumentException if parts of the input do not fit each other or are missing, or
   *     offsets fall
   */
  public ValueLossResult forward(Floats values, ValueBatch batch, Normalizer normalizer) {
    return filled(values, batch, normalizer, new ValueLossResult(null));
  }

  /**
   * Computes loss, metrics and the gradient for the values.
   *
   * @param values f32, one per token
   * @param batch returns, old values, sequences and mask
   * @param normalizer what the loss is divided by
   * @return a result with gradient; close it
   * @throws IllegalArgumentException if parts of the input do not fit each other or are missing, or
   *     offsets fall
   */
  public ValueLossResult forwardBackward(Floats values, ValueBatch batch, Normalizer normalizer) {
    return filled(values, batch, normalizer, ValueLossResult.allocate(values.size()));
  }

  private ValueLossResult filled(
      Floats values, ValueBatch batch, Normalizer normalizer, ValueLossResult out) {
    try {
      run(values, batch, normalizer, out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Computes loss, metrics and the gradient into memory that exists. Allocates nothing.
   *
   * @param values f32, one per token
   * @param batch returns, old values, sequences and mask
   * @param normalizer what the loss is divided by
   * @param out written
   * @throws IllegalArgumentException if parts of the input do not fit each other or {@code out}, or
   *     are missing, or offsets fall
   * @throws IllegalStateException if {@code out} has no gradient
   */
  public void forwardBackward(
      Floats values, ValueBatch batch, Normalizer normalizer, ValueLossResult out) {
    out.gradient();
    run(values, batch, normalizer, out);
  }

  private void run(Floats values, ValueBatch batch, Normalizer normalizer, ValueLossResult out) {
    Objects.requireNonNull(normalizer, "normalizer");
    if (clip > 0 && batch.old == null) {
      throw new IllegalArgumentException(
          "old: values are missing, which the clip needs; add them by withOld");
    }
    long rows = values.size();
    long sequences = batch.offsets.size() - 1;
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(ValueLossStruct.SIZE);
      call.in("values", values, rows, ValueLossStruct.VALUES);
      call.in("returns", batch.returns, rows, ValueLossStruct.RETURNS);
      call.in("old", batch.old, rows, ValueLossStruct.OLD_VALUES);
      call.in("offsets", batch.offsets, sequences + 1, ValueLossStruct.OFFSETS);
      call.in("mask", batch.mask, rows, ValueLossStruct.MASK);
      normalizer.write(call, "normalizer", struct, ValueLossStruct.NORMALIZER, sequences);
      out.write(call, rows);
      struct.putLong(ValueLossStruct.ROWS, rows);
      struct.putLong(ValueLossStruct.SEQUENCES, sequences);
      struct.putFloat(ValueLossStruct.CLIP, clip);
      struct.putFloat(ValueLossStruct.HUBER_DELTA, huberDelta);
      struct.putFloat(ValueLossStruct.GRADIENT_SCALE, gradientScale);
      struct.putInt(ValueLossStruct.SKIP_NON_FINITE, skipNonFinite ? 1 : 0);
      call.exec(0);
      int status = PolkaNative.polka_value_loss(call.valueLoss());
      NativeStatus.check(status, values.device());
      call.completed();
    } finally {
      call.exit();
    }
  }

  /** {@return what is on, in a line} */
  @Override
  public String toString() {
    return (huberDelta == 0 ? "squared error" : "Huber " + huberDelta)
        + (clip == 0 ? "" : ", clip " + clip)
        + (skipNonFinite ? ", skips non-finite rows" : "");
  }
}
