package dev.polka.torch;

import dev.polka.kernel.DivergenceResult;
import dev.polka.memory.Floats;
import dev.polka.memory.Placement;
import org.bytedeco.javacpp.PointerScope;

/**
 * What {@link LinearDivergence} computes: the divergence of each row, the loss, and the gradients
 * for the student's hidden states and head.
 *
 * <p>Belongs to one thread at a time. Closing frees what the call made.
 */
public final class LinearDivergenceResult implements AutoCloseable {
  private final Floats memory; // value, entropy and both lse, one after the other
  private final Floats value;
  private final Floats studentEntropy;
  private final Floats studentLse;
  private final Floats teacherLse;
  private final LinearGradients gradients;
  private double loss;

  LinearDivergenceResult(Placement placement, long rows, LinearGradients gradients) {
    this.memory = Floats.allocate(placement, Math.multiplyExact(rows, 4L));
    this.value = memory.slice(0, rows);
    this.studentEntropy = memory.slice(rows, rows);
    this.studentLse = memory.slice(2 * rows, rows);
    this.teacherLse = memory.slice(3 * rows, rows);
    this.gradients = gradients;
    try (PointerScope scope = new PointerScope()) {
      TensorView.of(memory).zero_();
    }
  }

  /**
   * The divergence of each row, in nats, before weight and normalizer; 0 for masked rows.
   *
   * @return one per row
   */
  public Floats value() {
    return value;
  }

  /** {@return the loss: the weighted sum of the values over the divisor} */
  public double loss() {
    return loss;
  }

  /**
   * The entropy of the student's distribution, in nats; 0 for masked rows.
   *
   * @return one per row
   */
  public Floats studentEntropy() {
    return studentEntropy;
  }

  /**
   * The log-sum-exp of the student's logits, after softcap and temperature; 0 for masked rows.
   *
   * @return one per row
   */
  public Floats studentLse() {
    return studentLse;
  }

  /**
   * The log-sum-exp of the teacher's logits, after softcap and temperature; 0 for masked rows.
   *
   * @return one per row
   */
  public Floats teacherLse() {
    return teacherLse;
  }

  /**
   * The gradients of the loss for hidden states and head, multiplied by the gradient scale.
   *
   * @return the gradients; closed with this result
   * @throws IllegalStateException if the call computed none
   */
  public LinearGradients gradients() {
    if (gradients == null) {
      throw new IllegalStateException(
          "LinearDivergenceResult: has no gradients; forwardBackward computes them");
    }
    return gradients;
  }

  /** Takes over what a chunk gave. In the caller's scope. */
  void add(DivergenceResult part, KeptRows kept, long from, long to) {
    put(value, part.value(), kept, from, to);
    put(studentEntropy, part.studentEntropy(), kept, from, to);
    put(studentLse, part.studentLse(), kept, from, to);
    put(teacherLse, part.teacherLse(), kept, from, to);
    loss += part.loss();
  }

  private static void put(Floats all, Floats part, KeptRows kept, long from, long to) {
    kept.put(TensorView.of(all), 0, from, to, TensorView.of(part));
  }

  /** Frees what the call made. */
  @Override
  public void close() {
    memory.close();
    if (gradients != null) {
      gradients.close();
    }
  }
}
