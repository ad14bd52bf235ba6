package dev.polka.kernel;

/**
 * The CUDA context is lost, after an illegal address for instance: every later CUDA call of this
 * process fails. Only a new process helps.
 */
public final class CudaFatalException extends CudaException {
  private static final long serialVersionUID = 1;

  /**
   * Describes a failure.
   *
   * @param code the {@code polka_status} of the call
   * @param message the native library's text
   */
  public CudaFatalException(int code, String message) {
    super(code, message);
  }
}
