package dev.polka.kernel;

/** The native library refused a call for a reason that is not a bad argument. */
public class PolkaException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final int code;

  /**
   * Describes a failure.
   *
   * @param code the {@code polka_status} of the call
   * @param message the native library's text
   */
  public PolkaException(int code, String message) {
    super(message);
    this.code = code;
  }

  /**
   * The status of the call, as {@code polka.h} numbers them: 3 = the device or instruction set is
   * not there, 4 = the workspace was too small, 5 = a CUDA call failed, 6 = the CUDA context is
   * lost.
   *
   * @return the {@code polka_status}
   */
  public int code() {
    return code;
  }
}
