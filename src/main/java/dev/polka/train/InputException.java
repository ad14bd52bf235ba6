package dev.polka.train;

/**
 * Something the user wrote is wrong: a configuration key, a problem file, a path, an option.
 *
 * <p>The message is one line that names the place ({@code file:line} or the path of the key), the
 * value and the limit, and says what would be right. The command prints it without a stack trace
 * and exits with status 2.
 */
public final class InputException extends IllegalArgumentException {
  private static final long serialVersionUID = 1;

  /**
   * An error that was found here.
   *
   * @param message one line: where, what, which limit
   */
  public InputException(String message) {
    super(message);
  }

  /**
   * An error that a library or the file system reported.
   *
   * @param message one line: where, what, which limit
   * @param cause what was reported
   */
  public InputException(String message, Throwable cause) {
    super(message, cause);
  }
}
