package dev.polka.torch;

import dev.polka.kernel.LogProbGradients;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.LossResult;
import dev.polka.kernel.PolicyLossMetrics;
import dev.polka.memory.Floats;

/**
 * What {@link LinearPolicyLoss} computes: loss, metrics, log-probs, entropies, and the gradients
 * for hidden states and head.
 *
 * <p>Belongs to one thread at a time. Closing frees what the call made.
 */
public final class LinearLossResult implements AutoCloseable {
  private final LogProbs logProbs;
  private final LossResult tokens;
  private final LinearGradients gradients;

  LinearLossResult(LogProbs logProbs, LossResult tokens, LinearGradients gradients) {
    this.logProbs = logProbs;
    this.tokens = tokens;
    this.gradients = gradients;
  }

  /**
   * The loss. Reads it to the host.
   *
   * @return the loss; NaN if a row that counts is not finite and such rows are not skipped
   */
  public double loss() {
    return tokens.loss();
  }

  /**
   * The parts of the loss and what there is to watch. Reads them to the host.
   *
   * @return a copy
   */
  public PolicyLossMetrics metrics() {
    return tokens.metrics();
  }

  /**
   * The log-prob of each target: what the next update takes as old.
   *
   * @return f32, one per row, 0 for skipped rows
   */
  public Floats logProb() {
    return logProbs.logProb();
  }

  /**
   * The entropy of each row, in nats.
   *
   * @return f32, one per row, 0 for skipped rows
   */
  public Floats entropy() {
    return logProbs.entropy();
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
          "LinearLossResult: has no gradients; forwardBackward computes them");
    }
    return gradients;
  }

  LossResult tokens() {
    return tokens;
  }

  LogProbGradients upstream() {
    return LogProbGradients.of(tokens.logProbGradient()).withEntropy(tokens.entropyGradient());
  }

  /** Frees what the call made. */
  @Override
  public void close() {
    logProbs.close();
    tokens.close();
    if (gradients != null) {
      gradients.close();
    }
  }
}
