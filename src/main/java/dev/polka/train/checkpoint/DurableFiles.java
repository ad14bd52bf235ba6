package dev.polka.train.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Map;

/**
 * Files and directories that are there whole or not at all, whenever the process or the machine
 * stops: they are written beside their place, flushed to disk, and renamed into it; then the folder
 * that holds the name is flushed too. For Linux and other systems where a rename within a folder is
 * atomic and a folder can be flushed.
 */
public final class DurableFiles {
  /** What unfinished work is called; a leftover of that name can be deleted at any time. */
  static final String UNFINISHED = ".unfinished";

  private DurableFiles() {}

  /**
   * Writes a file, replacing one that is there.
   *
   * @param file the file; its folder exists
   * @param content what to write
   * @throws IOException if it cannot be written; what was there before stays
   */
  public static void writeFile(Path file, FileContent content) throws IOException {
    Path beside = beside(file);
    Files.deleteIfExists(beside);
    content.writeTo(beside);
    flush(beside);
    Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE);
    flushFolder(file.toAbsolutePath().getParent());
  }

  /**
   * Writes a directory of files. One that is there is replaced, and for a moment there is none: a
   * reader that must always find one needs a name that points to it, as {@link CheckpointStore}
   * has.
   *
   * @param directory the directory; its parent exists
   * @param files what to write, by file name
   * @throws IOException if it cannot be written; what was there before stays
   */
  public static void writeDirectory(Path directory, Map<String, FileContent> files)
      throws IOException {
    Path beside = beside(directory);
    delete(beside);
    Files.createDirectory(beside);
    for (Map.Entry<String, FileContent> file : files.entrySet()) {
      Path path = beside.resolve(file.getKey());
      file.getValue().writeTo(path);
      flush(path);
    }
    flushFolder(beside);
    delete(directory);
    Files.move(beside, directory, StandardCopyOption.ATOMIC_MOVE);
    flushFolder(directory.toAbsolutePath().getParent());
  }

  /**
   * Deletes a file or a directory with all it holds; nothing happens if there is none.
   *
   * @param path what to delete
   * @throws IOException if something cannot be deleted
   */
  public static void delete(Path path) throws IOException {
    if (!Files.exists(path)) {
      return;
    }
    Files.walkFileTree(
        path,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
              throws IOException {
            Files.delete(file);
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult postVisitDirectory(Path directory, IOException e)
              throws IOException {
            if (e != null) {
              throw e;
            }
            Files.delete(directory);
            return FileVisitResult.CONTINUE;
          }
        });
  }

  private static Path beside(Path path) {
    return path.resolveSibling(path.getFileName() + UNFINISHED);
  }

  private static void flush(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      channel.force(true);
    }
  }

  private static void flushFolder(Path folder) throws IOException {
    try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }
}
