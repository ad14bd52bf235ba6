package dev.polka.train.stage;

import dev.polka.kernel.Backend;
import dev.polka.memory.DType;
import dev.polka.train.TrainingFailure;
import dev.polka.train.checkpoint.Checkpoint;
import dev.polka.train.checkpoint.CheckpointStore;
import dev.polka.train.checkpoint.TrainingState;
import dev.polka.train.config.EvaluationSettings;
import dev.polka.train.config.Stage;
import dev.polka.train.job.Trainer;
import dev.polka.train.job.TrainingJob;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.model.SafetensorsFile;
import dev.polka.train.model.TorchThreads;
import dev.polka.train.report.Evaluation;
import dev.polka.train.report.Phase;
import dev.polka.train.report.RunLog;
import dev.polka.train.report.StageRun;
import dev.polka.train.report.StepTimer;
import dev.polka.train.report.StepTiming;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * Trains a pipeline: for every seed, every stage that leads to an arm, in order. What it does next
 * is a function of the configuration and the last checkpoint, so a run that was killed at any
 * moment ends with the files of one that was not.
 */
public final class PipelineTrainer implements Trainer {

  /** For the service loader. */
  public PipelineTrainer() {}

  @Override
  public void train(TrainingJob job) throws IOException {
    int threads = job.options().threads();
    int used = threads > 0 ? threads : Runtime.getRuntime().availableProcessors();
    TorchThreads.use(used);
    Backend.threads(used);
    CheckpointStore checkpoints = job.directory().checkpoints();
    Optional<Checkpoint> latest = checkpoints.latest();
    RunLog.Lengths lengths =
        latest
            .map(c -> new RunLog.Lengths(c.state().metricsLength(), c.state().timingLength()))
            .orElse(new RunLog.Lengths(0, 0));
    Path metrics = job.directory().metrics();
    Path timing = job.directory().timing();
    try (RunLog log = RunLog.open(metrics, timing, lengths);
        CheckpointWriter writer = new CheckpointWriter(checkpoints, List.of(metrics, timing))) {
      new Run(job, Workshop.of(job), log, writer).train(latest);
    }
  }

  /** One run in progress. */
  private record Run(TrainingJob job, Workshop workshop, RunLog log, CheckpointWriter writer) {

    void train(Optional<Checkpoint> latest) throws IOException {
      latest.ifPresent(checkpoint -> job.progress().say(goingOn(checkpoint.state())));
      boolean reached = latest.isEmpty();
      for (StageRun part : StageRun.plan(job.pipeline())) {
        boolean here = latest.isPresent() && isAt(latest.get(), part);
        reached |= here;
        // What comes before the checkpoint is finished.
        if (reached) {
          train(part, here ? latest : Optional.empty());
        }
      }
      export();
    }

    private static String goingOn(TrainingState state) {
      return "going on after step "
          + state.step()
          + " of "
          + state.stage()
          + ", seed "
          + state.seed();
    }

    private static boolean isAt(Checkpoint checkpoint, StageRun part) {
      return checkpoint.state().seed() == part.seed()
          && checkpoint.state().stage().equals(part.stage());
    }

    private void train(StageRun part, Optional<Checkpoint> from) throws IOException {
      long seed = part.seed();
      Stage stage = job.pipeline().stage(part.stage());
      Function<StepTimer, Losses> losses =
          switch (job.pipeline().loss()) {
            case POLKA -> PolkaLosses::new;
            case LIBTORCH -> LibtorchLosses::new;
          };
      try (StageTraining run = new StageTraining(workshop, seed, stage, losses)) {
        long done = 0;
        if (from.isPresent()) {
          restore(run, from.get());
          done = from.get().state().step();
        }
        job.progress().begin(part, done);
        EvaluationSettings evaluation = workshop.pipeline().evaluation();
        StepTimer timer = StepTimer.start();
        while (done < stage.steps()) {
          StageTraining.Step step = run.step(done, timer);
          done++;
          log.write(step.metrics());
          if (evaluation.everySteps() > 0
              && done % evaluation.everySteps() == 0
              && done < stage.steps()) {
            evaluate(run.model(), seed, stage, done, false);
          }
          StepTiming timing = timer.finish(seed, stage.name(), done, step.tokens());
          log.write(timing);
          // A checkpoint holds the length of the log, so its own time goes into the next step's.
          timer = StepTimer.start();
          boolean due = done % job.options().checkpointEvery() == 0 || done == stage.steps();
          checkpoint(due ? state(run, seed, stage, done) : null, run, timer);
          job.progress().step(step.metrics(), timing);
        }
        workshop.save(seed, stage.name(), run.model());
        Evaluation last = evaluate(run.model(), seed, stage, done, true);
        job.progress()
            .end(
                String.format(
                    Locale.ROOT, "score %.3f on %d problems", last.score(), last.problems()));
      }
    }

    private Evaluation evaluate(LlamaModel model, long seed, Stage stage, long done, boolean last)
        throws IOException {
      double score;
      try {
        score = workshop.evaluate(model, seed);
      } catch (TrainingFailure failure) {
        throw failure.at(seed, stage.name(), done);
      }
      Evaluation evaluation =
          new Evaluation(
              seed,
              stage.name(),
              done,
              last,
              workshop.heldOutProblems(),
              workshop.pipeline().evaluation().samples(),
              score);
      log.write(evaluation);
      return evaluation;
    }

    /**
     * Waits for the last checkpoint to be on the disk, and begins another where there is a state.
     */
    private void checkpoint(TrainingState state, StageTraining run, StepTimer timer)
        throws IOException {
      try {
        timer.run(
            Phase.CHECKPOINT,
            () -> {
              try {
                writer.settle();
                if (state != null) {
                  writer.save(state, run.model().parameters(), run.updater().optimizer());
                }
              } catch (IOException e) {
                throw new UncheckedIOException(e);
              }
            });
      } catch (UncheckedIOException e) {
        throw e.getCause();
      }
    }

    private TrainingState state(StageTraining run, long seed, Stage stage, long done)
        throws IOException {
      RunLog.Lengths lengths = log.lengths();
      return new TrainingState(
          job.directory().configHash(),
          seed,
          stage.name(),
          workshop.armsOf(stage.name()),
          done,
          done,
          lengths.metrics(),
          lengths.timing(),
          Map.of("optimizerSteps", run.updater().optimizer().steps()));
    }

    private static void restore(StageTraining run, Checkpoint checkpoint) {
      try (PointerScope scope = new PointerScope();
          NoGradGuard guard = new NoGradGuard();
          SafetensorsFile file = SafetensorsFile.open(checkpoint.model())) {
        for (Map.Entry<String, Tensor> parameter : run.model().parameters().named().entrySet()) {
          parameter.getValue().detach().copy_(file.read(parameter.getKey()));
        }
      }
      run.updater().optimizer().load(checkpoint.optimizer());
    }

    /** The arms' models in the type asked for, where that is not the one they are kept in. */
    private void export() throws IOException {
      if (job.options().exportPrecision() == TrainingJob.ExportPrecision.F32) {
        return;
      }
      for (long seed : workshop.pipeline().seeds()) {
        for (var arm : workshop.pipeline().arms()) {
          try (LlamaModel model = workshop.model(seed, arm.result())) {
            workshop.export(seed, arm.name(), model, DType.BF16);
          }
        }
      }
    }
  }
}
