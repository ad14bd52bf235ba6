package dev.polka.train.job;

import java.io.IOException;
import java.util.Optional;
import java.util.ServiceLoader;

/**
 * Runs a job: trains every stage of every seed, evaluates, logs and saves. The command finds the
 * implementation by the service loader ({@code META-INF/services/dev.polka.train.job.Trainer}), so
 * that neither it nor the packages around it need libtorch to be read.
 */
public interface Trainer {
  /**
   * Trains until everything is done, or goes on where {@link TrainingJob#resumed} says a run was.
   * Afterwards the logs of {@link TrainingJob#directory} are complete and closed; the caller writes
   * the report from them.
   *
   * @param job what to do
   * @throws IOException if logs, checkpoints or models cannot be read or written
   * @throws dev.polka.train.InputException if something the user gave turns out wrong only now
   */
  void train(TrainingJob job) throws IOException;

  /**
   * The trainer on the class path.
   *
   * @return the trainer, or empty if there is none
   */
  static Optional<Trainer> find() {
    return ServiceLoader.load(Trainer.class).findFirst();
  }
}
