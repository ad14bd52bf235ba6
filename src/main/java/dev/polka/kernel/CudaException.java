package dev.polka.kernel;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A call on a CUDA device failed, or there is none to call. The process can go on using the CPU
 * and, unless this is a {@link CudaFatalException}, CUDA as well.
 */
public class CudaException extends PolkaException {
  private static final long serialVersionUID = 1;
  private static final Pattern ERROR_NAME = Pattern.compile("\\bcudaError\\w*");

  /**
   * Describes a failure.
   *
   * @param code the {@code polka_status} of the call
   * @param message the native library's text
   */
  public CudaException(int code, String message) {
    super(code, message);
  }

  /**
   * CUDA's own name of the error.
   *
   * @return such as {@code cudaErrorInsufficientDriver}; empty if CUDA was never asked, because
   *     this build is without it
   */
  public Optional<String> errorName() {
    Matcher matcher = ERROR_NAME.matcher(getMessage());
    return matcher.find() ? Optional.of(matcher.group()) : Optional.empty();
  }
}
