package dev.polka.train.job;

import dev.polka.train.checkpoint.RunDirectory;
import dev.polka.train.config.Pipeline;
import dev.polka.train.report.Progress;

/**
 * Everything a {@link Trainer} needs.
 *
 * @param pipeline the configuration; contexts and the longest response are resolved, so none of
 *     them is 0
 * @param task problems, tokenizer and verifier, checked to fit
 * @param directory where logs, checkpoints and models go, open and locked
 * @param resumed whether the directory's latest checkpoint is gone on with; there may be none
 * @param options what does not change the result
 * @param progress shows how it is getting on
 */
public record TrainingJob(
    Pipeline pipeline,
    TrainingTask task,
    RunDirectory directory,
    boolean resumed,
    Options options,
    Progress progress) {

  /**
   * Choices of the command line.
   *
   * @param checkpointEvery steps between checkpoints, at least 1: the most that a kill loses
   * @param exportPrecision number format of the finished models; checkpoints are always f32
   * @param threads threads to use; 0 for all cores
   */
  public record Options(int checkpointEvery, ExportPrecision exportPrecision, int threads) {}

  /** Number format of the finished models. */
  public enum ExportPrecision {
    /** 32-bit, as trained. */
    F32,
    /** bfloat16, rounded to nearest even. */
    BF16
  }
}
