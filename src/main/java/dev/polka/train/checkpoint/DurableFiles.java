package dev.polka.train.checkpoint;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Files and directories that are there whole or not at all, whenever the process or the machine
 * stops: they are written beside their place, flushed to disk, and renamed into it; then the folder
 * that holds the name is flushed too. For Linux and other systems where a rename within a folder is
 * atomic and a folder can be flushed.
 */
public final class DurableFiles {
  /** What unfinished work is called; a leftover of that name can be deleted at any time. */
  static final String UNFINISHED = ".unfinished";

  private static final ExecutorService FLUSHERS =
      Executors.newFixedThreadPool(4, DurableFiles::daemon);

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
    Path folder = file.toAbsolutePath().getParent();
    Files.deleteIfExists(beside);
    content.writeTo(beside);
    // The folder too: what was renamed into it before must not come after this file.
    flush(List.of(beside, folder));
    Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE);
    flush(List.of(folder));
  }

  /**
   * Writes a directory of files. One that is there is replaced, and for a moment there is none: a
   * reader that must always find one needs a file that names it, as {@link CheckpointStore} has.
   * The directory's own name is flushed with the next {@link #writeFile} beside it.
   *
   * @param directory the directory; its parent exists
   * @param files what to write, by file name
   * @param others files elsewhere that are flushed before the directory is there
   * @throws IOException if it cannot be written; what was there before stays
   */
  static void writeDirectory(Path directory, Map<String, FileContent> files, List<Path> others)
      throws IOException {
    writeDirectory(
        directory,
        folder -> {
          for (Map.Entry<String, FileContent> file : files.entrySet()) {
            file.getValue().writeTo(folder.resolve(file.getKey()));
          }
        },
        others);
  }

  /**
   * Writes a directory whose files are written by one who knows their names. One that is there is
   * replaced, and for a moment there is none. The directory's own name is flushed with the next
   * {@link #writeFile} beside it.
   *
   * @param directory the directory; its parent exists
   * @param content writes the files into the empty folder that it is given
   * @throws IOException if it cannot be written; what was there before stays
   */
  public static void writeDirectory(Path directory, FileContent content) throws IOException {
    writeDirectory(directory, content, List.of());
  }

  private static void writeDirectory(Path directory, FileContent content, List<Path> others)
      throws IOException {
    Path beside = beside(directory);
    delete(beside);
    Files.createDirectory(beside);
    content.writeTo(beside);
    List<Path> written = new ArrayList<>(List.of(beside));
    try (DirectoryStream<Path> files = Files.newDirectoryStream(beside)) {
      files.forEach(written::add);
    }
    written.addAll(others);
    flush(written);
    delete(directory);
    Files.move(beside, directory, StandardCopyOption.ATOMIC_MOVE);
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

  /** Flushes files and folders side by side: the disk does several at the price of one. */
  private static void flush(List<Path> paths) throws IOException {
    List<Future<Void>> flushes = new ArrayList<>();
    for (Path path : paths.subList(1, paths.size())) {
      flushes.add(FLUSHERS.submit(() -> flush(path)));
    }
    flush(paths.get(0));
    for (Future<Void> flush : flushes) {
      await(flush);
    }
  }

  private static Void flush(Path path) throws IOException {
    StandardOpenOption mode =
        Files.isDirectory(path) ? StandardOpenOption.READ : StandardOpenOption.WRITE;
    try (FileChannel channel = FileChannel.open(path, mode)) {
      channel.force(true);
    }
    return null;
  }

  private static void await(Future<Void> flush) throws IOException {
    try {
      flush.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("interrupted while flushing to disk");
    } catch (ExecutionException e) {
      throw e.getCause() instanceof IOException reported ? reported : new IOException(e.getCause());
    }
  }

  private static Thread daemon(Runnable task) {
    Thread thread = new Thread(task, "polka-flush");
    thread.setDaemon(true);
    return thread;
  }
}
