package dev.polka.train.checkpoint;

import dev.polka.train.InputException;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The checkpoints of a run: a folder of numbered directories, each with the weights ({@code
 * model.safetensors}), the optimizer's moments ({@code optimizer.safetensors}) and the position
 * ({@code state.json}), and a file {@code latest} with the name of the newest.
 *
 * <p>A checkpoint is written beside its place, flushed, renamed, and only then named by {@code
 * latest}, which is replaced the same way. Killed at any moment, {@code latest} names a whole
 * checkpoint: the new one or the one before. The newest two are kept.
 *
 * <p>One process and one thread at a time.
 */
public final class CheckpointStore {
  private static final String LATEST = "latest";
  private static final int KEPT = 2;
  private static final Pattern NAME = Pattern.compile("checkpoint-(\\d{9})");

  private final Path directory;

  private CheckpointStore(Path directory) {
    this.directory = directory;
  }

  /**
   * Opens the store, which may be empty, and deletes what an interrupted save left.
   *
   * @param directory its folder, made if missing
   * @return the store
   * @throws IOException if the folder cannot be made or read
   */
  public static CheckpointStore open(Path directory) throws IOException {
    Files.createDirectories(directory);
    var store = new CheckpointStore(directory);
    store.deleteLeftovers();
    return store;
  }

  /**
   * Saves a checkpoint and makes it the latest.
   *
   * @param state where the run is
   * @param logs files that it holds the lengths of; they are flushed before the checkpoint counts
   * @param model writes the weights
   * @param optimizer writes the optimizer's moments
   * @throws IOException if something cannot be written; the latest checkpoint stays what it was
   */
  public void save(TrainingState state, List<Path> logs, FileContent model, FileContent optimizer)
      throws IOException {
    Map<String, FileContent> files = new LinkedHashMap<>();
    files.put(Checkpoint.MODEL, model);
    files.put(Checkpoint.OPTIMIZER, optimizer);
    List<String> others = List.copyOf(files.keySet());
    files.put(StateFile.NAME, file -> StateFile.write(file, state, others));

    long number = latestNumber().orElse(0L) + 1;
    String name = String.format("checkpoint-%09d", number);
    DurableFiles.writeDirectory(directory.resolve(name), files, logs);
    DurableFiles.writeFile(directory.resolve(LATEST), file -> Files.writeString(file, name + "\n"));
    deleteLeftovers();
  }

  /**
   * The newest checkpoint.
   *
   * @return the checkpoint, or empty if none has been saved
   * @throws IOException if it cannot be read
   * @throws InputException if a file of it is missing or damaged, which an interrupted save cannot
   *     bring about, or if another version wrote it
   */
  public Optional<Checkpoint> latest() throws IOException {
    Optional<Long> number = latestNumber();
    if (number.isEmpty()) {
      return Optional.empty();
    }
    Path newest = directory.resolve(String.format("checkpoint-%09d", number.get()));
    if (!Files.exists(newest.resolve(StateFile.NAME))) {
      throw new InputException(newest + ": is missing, though " + LATEST + " names it");
    }
    return Optional.of(new Checkpoint(newest, StateFile.read(newest.resolve(StateFile.NAME))));
  }

  private Optional<Long> latestNumber() throws IOException {
    String name;
    try {
      name = Files.readString(directory.resolve(LATEST)).strip();
    } catch (NoSuchFileException e) {
      return Optional.empty();
    }
    Matcher matcher = NAME.matcher(name);
    if (!matcher.matches()) {
      throw new InputException(directory.resolve(LATEST) + ": names '" + name + "'");
    }
    return Optional.of(Long.valueOf(matcher.group(1)));
  }

  // Everything but the newest two: older checkpoints, unfinished ones, and one that was finished
  // but never named by `latest`.
  private void deleteLeftovers() throws IOException {
    long newest = latestNumber().orElse(0L);
    List<Path> leftovers = new ArrayList<>();
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(directory)) {
      for (Path entry : entries) {
        String name = entry.getFileName().toString();
        Matcher matcher = NAME.matcher(name);
        if (name.endsWith(DurableFiles.UNFINISHED)) {
          leftovers.add(entry);
        } else if (matcher.matches()) {
          long number = Long.parseLong(matcher.group(1));
          if (number > newest || number <= newest - KEPT) {
            leftovers.add(entry);
          }
        }
      }
    }
    for (Path leftover : leftovers) {
      DurableFiles.delete(leftover);
    }
  }
}
