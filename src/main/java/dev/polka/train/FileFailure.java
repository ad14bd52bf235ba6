package dev.polka.train;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** Says in words what the file system reported; its exceptions often carry the path alone. */
public final class FileFailure {
  private FileFailure() {}

  /**
   * What happened, on one line.
   *
   * @param failure what was reported
   * @return such as {@code /data/run: no permission}, the path first where it is known
   */
  public static String text(IOException failure) {
    if (!(failure instanceof FileSystemException reported)) {
      return failure.getMessage() == null ? failure.toString() : failure.getMessage();
    }
    String reason = reported.getReason();
    if (reason == null) {
      reason =
          reported instanceof AccessDeniedException
              ? "no permission"
              : reported instanceof NoSuchFileException
                  ? "no such file or folder"
                  : reported instanceof FileAlreadyExistsException
                      ? "is there already, and is no folder"
                      : reported.getClass().getSimpleName();
    }
    return reported.getFile() == null ? reason : reported.getFile() + ": " + reason;
  }
}
