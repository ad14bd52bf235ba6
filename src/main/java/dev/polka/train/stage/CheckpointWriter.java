package dev.polka.train.stage;

import dev.polka.train.checkpoint.CheckpointStore;
import dev.polka.train.checkpoint.TrainingState;
import dev.polka.train.model.AdamW;
import dev.polka.train.model.Parameters;
import dev.polka.train.model.SafetensorsCopy;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.bytedeco.javacpp.PointerScope;

/**
 * Saves checkpoints while the next step is computed: most of what a checkpoint costs is waiting for
 * the disk. {@link #save} takes a copy of weights and moments and returns; one thread writes it. At
 * most one checkpoint is on its way, and {@link #settle} waits for it: called at the end of every
 * step, it keeps a kill from losing more finished steps than lie between two checkpoints.
 *
 * <p>Used by one thread. A failure to write is thrown by the next call.
 */
final class CheckpointWriter implements AutoCloseable {
  private final CheckpointStore store;
  private final List<Path> logs;
  private final ExecutorService thread = Executors.newSingleThreadExecutor(CheckpointWriter::named);
  private Future<Void> pending;

  /** For a store and the logs whose lengths its states hold. */
  CheckpointWriter(CheckpointStore store, List<Path> logs) {
    this.store = store;
    this.logs = logs;
  }

  private static Thread named(Runnable work) {
    Thread thread = new Thread(work, "polka-checkpoint");
    thread.setDaemon(true);
    return thread;
  }

  /**
   * Begins to save.
   *
   * @param state where the run is
   * @param parameters the weights, copied before this returns
   * @param optimizer the moments, copied before this returns
   * @throws IOException if the checkpoint before could not be written
   */
  void save(TrainingState state, Parameters parameters, AdamW optimizer) throws IOException {
    settle();
    SafetensorsCopy model;
    SafetensorsCopy moments;
    try (PointerScope scope = new PointerScope()) {
      model = SafetensorsCopy.of(parameters.named(), Map.of("format", "pt"));
      moments = optimizer.copy();
    }
    pending =
        thread.submit(
            () -> {
              try (model;
                  moments) {
                store.save(state, logs, model::write, moments::write);
              }
              return null;
            });
  }

  /**
   * Waits until the last checkpoint is on the disk.
   *
   * @throws IOException if it could not be written
   */
  void settle() throws IOException {
    if (pending == null) {
      return;
    }
    try {
      pending.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("interrupted while a checkpoint was written");
    } catch (ExecutionException e) {
      if (e.getCause() instanceof IOException reported) {
        throw reported;
      }
      if (e.getCause() instanceof RuntimeException reported) {
        throw reported;
      }
      throw new IOException("the checkpoint could not be written", e.getCause());
    } finally {
      pending = null;
    }
  }

  @Override
  public void close() throws IOException {
    try {
      settle();
    } finally {
      thread.shutdown();
    }
  }
}
