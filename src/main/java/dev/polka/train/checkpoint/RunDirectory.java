package dev.polka.train.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polka.train.FileFailure;
import dev.polka.train.InputException;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.PipelineFile;
import dev.polka.train.config.PipelineTree;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The folder of one run: {@code pipeline.json} (the configuration with every default written out),
 * {@code inputs.json} (fingerprints of the files it reads), {@code metrics.jsonl}, {@code
 * timing.jsonl}, {@code checkpoints/}, {@code models/} and the report. While it is open no other
 * process can open it.
 */
public final class RunDirectory implements AutoCloseable {
  private static final String PIPELINE = "pipeline.json";
  private static final String INPUTS = "inputs.json";
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path path;
  private final String configHash;
  private final FileChannel lockFile;

  private RunDirectory(Path path, String configHash, FileChannel lockFile) {
    this.path = path;
    this.configHash = configHash;
    this.lockFile = lockFile;
  }

  /**
   * Begins a run.
   *
   * @param path the folder, made if missing
   * @param pipeline the configuration
   * @return the folder, open
   * @throws InputException if the folder holds a run already, another process uses it, or it cannot
   *     be written
   */
  public static RunDirectory begin(Path path, Pipeline pipeline) {
    return begin(path, pipeline, new TreeMap<>());
  }

  /**
   * Begins a run that reads files.
   *
   * @param path the folder, made if missing
   * @param pipeline the configuration
   * @param inputs fingerprints of the files it reads, by key
   * @return the folder, open
   * @throws InputException as {@link #begin(Path, Pipeline)}
   */
  public static RunDirectory begin(Path path, Pipeline pipeline, SortedMap<String, String> inputs) {
    if (holdsRun(path)) {
      throw new InputException(
          path + ": holds a run already; go on with it by --resume, or choose another --out");
    }
    if (Files.exists(path) && !Files.isDirectory(path)) {
      throw new InputException(path + ": is not a folder");
    }
    PipelineTree tree = PipelineTree.of(pipeline);
    try {
      Files.createDirectories(path);
      FileChannel lock = lock(path);
      String contents = JSON.writeValueAsString(inputs) + "\n";
      // First, for it is the other one that makes a folder hold a run.
      DurableFiles.writeFile(path.resolve(INPUTS), file -> Files.writeString(file, contents));
      DurableFiles.writeFile(path.resolve(PIPELINE), file -> Files.writeString(file, tree.json()));
      return new RunDirectory(path, tree.hash(), lock);
    } catch (IOException e) {
      throw unusable(path, "written", e);
    }
  }

  /**
   * Goes on with a run.
   *
   * @param path the folder
   * @param pipeline the configuration, which must be that of the run
   * @return the folder, open
   * @throws InputException if the folder holds no run, another process uses it, it cannot be read
   *     or written, or the configuration has changed; the message names the changed keys
   */
  public static RunDirectory resume(Path path, Pipeline pipeline) {
    requireRun(path);
    Path file = path.resolve(PIPELINE);
    PipelineTree before;
    try {
      before = PipelineTree.parse(Files.readString(file), file.toString());
    } catch (IOException e) {
      throw unusable(file, "read", e);
    }
    PipelineTree now = PipelineTree.of(pipeline);
    if (!before.hash().equals(now.hash())) {
      throw changed(path, "the configuration has", before.differences(now), "values");
    }
    try {
      return new RunDirectory(path, now.hash(), lock(path));
    } catch (IOException e) {
      throw unusable(path, "written", e);
    }
  }

  /**
   * The configuration that a run began with.
   *
   * @param path the folder
   * @return the pipeline that it records
   * @throws InputException if the folder holds no run, or its record cannot be read
   */
  public static Pipeline recorded(Path path) {
    requireRun(path);
    return PipelineFile.read(path.resolve(PIPELINE));
  }

  /**
   * Checks that the files a run reads are what they were when it began.
   *
   * @param path the folder of the run
   * @param inputs their fingerprints now, by key
   * @throws InputException if one differs, naming the key, or the record cannot be read
   */
  public static void requireSameInputs(Path path, SortedMap<String, String> inputs) {
    Path file = path.resolve(INPUTS);
    PipelineTree before;
    PipelineTree now;
    try {
      String text = Files.exists(file) ? Files.readString(file) : "{}";
      before = PipelineTree.parse(text, file.toString());
      now = PipelineTree.parse(JSON.writeValueAsString(inputs), file.toString());
    } catch (IOException e) {
      throw unusable(file, "read", e);
    }
    List<String> differences = before.differences(now);
    if (!differences.isEmpty()) {
      throw changed(path, "files it reads have", differences, "files");
    }
  }

  private static InputException changed(
      Path path, String what, List<String> differences, String old) {
    return new InputException(
        path
            + ": "
            + what
            + " changed since this run began ("
            + String.join("; ", differences)
            + "); resume with the old "
            + old
            + ", or begin another run");
  }

  private static void requireRun(Path path) {
    if (!holdsRun(path)) {
      throw new InputException(path + ": holds no run to go on with");
    }
  }

  private static InputException unusable(Path path, String how, IOException e) {
    return new InputException(path + ": cannot be " + how + ": " + FileFailure.text(e), e);
  }

  /**
   * Whether a folder holds a run.
   *
   * @param path the folder, which need not exist
   * @return whether a run began in it
   */
  public static boolean holdsRun(Path path) {
    return Files.exists(path.resolve(PIPELINE));
  }

  /**
   * The folder.
   *
   * @return its path
   */
  public Path path() {
    return path;
  }

  /**
   * Fingerprint of the configuration, for {@link TrainingState#configHash}.
   *
   * @return hexadecimal digits
   */
  public String configHash() {
    return configHash;
  }

  /**
   * The metrics: deterministic, byte-identical across runs.
   *
   * @return path of {@code metrics.jsonl}
   */
  public Path metrics() {
    return path.resolve("metrics.jsonl");
  }

  /**
   * The times.
   *
   * @return path of {@code timing.jsonl}
   */
  public Path timing() {
    return path.resolve("timing.jsonl");
  }

  /**
   * The checkpoints of this run.
   *
   * @return the store, opened anew
   * @throws IOException if it cannot be opened
   */
  public CheckpointStore checkpoints() throws IOException {
    return CheckpointStore.open(path.resolve("checkpoints"));
  }

  /**
   * Where the finished weights of a stage belong; they are written by {@link
   * DurableFiles#writeDirectory}, so that a directory that is there is a stage that is done.
   *
   * @param seed the seed
   * @param stage name of the stage
   * @return {@code models/seed-N/STAGE}; its parent exists
   * @throws IOException if the parent cannot be made
   */
  public Path model(long seed, String stage) throws IOException {
    Path parent = path.resolve("models").resolve("seed-" + seed);
    Files.createDirectories(parent);
    return parent.resolve(stage);
  }

  private static FileChannel lock(Path path) throws IOException {
    FileChannel channel =
        FileChannel.open(path.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    FileLock lock = null;
    try {
      lock = channel.tryLock();
    } catch (OverlappingFileLockException e) {
      // Held by this same process: as much a conflict as any other.
    }
    if (lock == null) {
      channel.close();
      throw new InputException(path + ": another run is using this folder");
    }
    return channel;
  }

  @Override
  public void close() throws IOException {
    lockFile.close();
  }
}
