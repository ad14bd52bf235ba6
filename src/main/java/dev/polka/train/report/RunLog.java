package dev.polka.train.report;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Writes {@code metrics.jsonl}, which holds only values that are the same in every run of the same
 * configuration, and {@code timing.jsonl}, which holds the times.
 *
 * <p>A line is in the file when its method returns. A checkpoint records the {@link #lengths};
 * opened at these lengths again, the logs go on as if what was written after them had never been.
 * For one thread.
 */
public final class RunLog implements AutoCloseable {
  /**
   * Lengths of both logs.
   *
   * @param metrics bytes of {@code metrics.jsonl}
   * @param timing bytes of {@code timing.jsonl}
   */
  public record Lengths(long metrics, long timing) {}

  private final FileChannel metrics;
  private final FileChannel timing;

  private RunLog(FileChannel metrics, FileChannel timing) {
    this.metrics = metrics;
    this.timing = timing;
  }

  /**
   * Opens both logs and cuts them to the given lengths.
   *
   * @param metrics path of {@code metrics.jsonl}
   * @param timing path of {@code timing.jsonl}
   * @param lengths what the checkpoint recorded; zeros for a new run
   * @return the logs
   * @throws IOException if a file cannot be opened or is shorter than recorded
   */
  public static RunLog open(Path metrics, Path timing, Lengths lengths) throws IOException {
    FileChannel metricsFile = cut(metrics, lengths.metrics());
    try {
      return new RunLog(metricsFile, cut(timing, lengths.timing()));
    } catch (IOException e) {
      metricsFile.close();
      throw e;
    }
  }

  private static FileChannel cut(Path file, long length) throws IOException {
    FileChannel channel =
        FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    if (channel.size() < length) {
      long size = channel.size();
      channel.close();
      throw new IOException(
          file + ": is " + size + " bytes long, the checkpoint was written at " + length);
    }
    channel.truncate(length);
    channel.position(length);
    return channel;
  }

  /**
   * Logs a training step.
   *
   * @param step its values
   * @throws IOException if it cannot be written
   */
  public void write(StepMetrics step) throws IOException {
    JsonLine line =
        new JsonLine()
            .add("type", RunRecords.STEP)
            .add("seed", step.seed())
            .add("stage", step.stage())
            .add("step", step.step());
    step.values().forEach((metric, value) -> line.add(metric.key(), value));
    write(metrics, line);
  }

  /**
   * Logs an evaluation.
   *
   * @param evaluation its score
   * @throws IOException if it cannot be written
   */
  public void write(Evaluation evaluation) throws IOException {
    write(
        metrics,
        new JsonLine()
            .add("type", RunRecords.EVALUATION)
            .add("seed", evaluation.seed())
            .add("stage", evaluation.stage())
            .add("step", evaluation.step())
            .add("last", evaluation.last())
            .add("problems", evaluation.problems())
            .add("samples", evaluation.samples())
            .add("score", evaluation.score()));
  }

  /**
   * Logs the times of a step.
   *
   * @param step its times
   * @throws IOException if it cannot be written
   */
  public void write(StepTiming step) throws IOException {
    JsonLine line =
        new JsonLine()
            .add("seed", step.seed())
            .add("stage", step.stage())
            .add("step", step.step())
            .add("seconds", step.seconds())
            .add("tokens", step.tokens());
    step.phases().forEach((phase, seconds) -> line.add(phase.key(), seconds));
    write(timing, line);
  }

  /**
   * How long both logs are now.
   *
   * @return their lengths
   * @throws IOException if they cannot be told
   */
  public Lengths lengths() throws IOException {
    return new Lengths(metrics.position(), timing.position());
  }

  private static void write(FileChannel file, JsonLine line) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap((line.text() + "\n").getBytes(StandardCharsets.UTF_8));
    while (bytes.hasRemaining()) {
      file.write(bytes);
    }
  }

  /**
   * Flushes both logs to disk and closes them.
   *
   * @throws IOException if they cannot be flushed
   */
  @Override
  public void close() throws IOException {
    try (metrics;
        timing) {
      metrics.force(true);
      timing.force(true);
    }
  }
}
