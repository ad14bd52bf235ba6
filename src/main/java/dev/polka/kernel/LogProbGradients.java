package dev.polka.kernel;

import dev.polka.kernel.internal.LogProbBackwardStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.memory.Floats;
import java.util.Objects;

/**
 * The gradients of a loss for the differentiable outputs of {@link LogProb}: f32, one per row. What
 * is not given counts as 0.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class LogProbGradients {
  private final Floats logProb;
  private final Floats entropy;
  private final Floats selfCertainty;

  private LogProbGradients(Floats logProb, Floats entropy, Floats selfCertainty) {
    this.logProb = logProb;
    this.entropy = entropy;
    this.selfCertainty = selfCertainty;
  }

  /**
   * The gradient for the log-probs.
   *
   * @param logProb one per row
   * @return the gradients
   */
  public static LogProbGradients of(Floats logProb) {
    return new LogProbGradients(Objects.requireNonNull(logProb, "logProb"), null, null);
  }

  /**
   * The gradient for the entropies alone.
   *
   * @param entropy one per row
   * @return the gradients
   */
  public static LogProbGradients ofEntropy(Floats entropy) {
    return new LogProbGradients(null, Objects.requireNonNull(entropy, "entropy"), null);
  }

  /**
   * The gradient for the self-certainties alone.
   *
   * @param selfCertainty one per row
   * @return the gradients
   */
  public static LogProbGradients ofSelfCertainty(Floats selfCertainty) {
    return new LogProbGradients(null, null, Objects.requireNonNull(selfCertainty, "selfCertainty"));
  }

  /**
   * Adds the gradient for the entropies.
   *
   * @param entropy one per row
   * @return the gradients with it
   */
  public LogProbGradients withEntropy(Floats entropy) {
    return new LogProbGradients(logProb, Objects.requireNonNull(entropy, "entropy"), selfCertainty);
  }

  /**
   * Adds the gradient for the self-certainties.
   *
   * @param selfCertainty one per row
   * @return the gradients with it
   */
  public LogProbGradients withSelfCertainty(Floats selfCertainty) {
    return new LogProbGradients(
        logProb, entropy, Objects.requireNonNull(selfCertainty, "selfCertainty"));
  }

  /** {@return the gradient for the log-probs, or null} */
  public Floats logProb() {
    return logProb;
  }

  /** {@return the gradient for the entropies, or null} */
  public Floats entropy() {
    return entropy;
  }

  /** {@return the gradient for the self-certainties, or null} */
  public Floats selfCertainty() {
    return selfCertainty;
  }

  void write(NativeCall call, long rows) {
    call.in("upstream logProb", logProb, rows, LogProbBackwardStruct.D_LOG_PROB);
    call.in("upstream entropy", entropy, rows, LogProbBackwardStruct.D_ENTROPY);
    call.in("upstream selfCertainty", selfCertainty, rows, LogProbBackwardStruct.D_SELF_CERTAINTY);
  }
}
