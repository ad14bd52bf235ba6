package dev.polka.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code polka bench}: what an operation costs on this machine, beside what it replaces. */
@Command(
    name = "bench",
    mixinStandardHelpOptions = true,
    sortOptions = false,
    description = {
      "Measures time and memory on this machine.%n",
      "--linear-head: a GRPO step from hidden states and the weight of a language model's head,"
          + " forward and back, without the matrix of logits, beside the plain way with it. The plain"
          + " way gets as many of the rows as fit into the memory that is free."
    },
    footer = {
      "",
      "Examples:",
      "  ./polka bench --linear-head                            N 4096, D 1024, V 151936; minutes",
      "  ./polka bench --linear-head --rows 512 --vocabulary 32768 --width 512 --runs 3"
    })
final class Bench implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(names = "--linear-head", required = true, description = "The one benchmark there is.")
  private boolean linearHead;

  @Option(names = "--rows", paramLabel = "N", description = "Tokens (${DEFAULT-VALUE}).")
  private long rows = 4096;

  @Option(names = "--width", paramLabel = "D", description = "Hidden width (${DEFAULT-VALUE}).")
  private long width = 1024;

  @Option(names = "--vocabulary", paramLabel = "V", description = "Vocabulary (${DEFAULT-VALUE}).")
  private long vocabulary = 151936;

  @Option(
      names = "--budget",
      paramLabel = "MIB",
      description = "Memory of the chunks, in MiB (${DEFAULT-VALUE}).")
  private long budget = 232;

  @Option(names = "--bf16", description = "bf16 hidden states and weight instead of f32.")
  private boolean bf16;

  @Option(
      names = "--runs",
      paramLabel = "COUNT",
      description = "Runs of each, of which the median counts (${DEFAULT-VALUE}).")
  private int runs = 1;

  @Override
  public Integer call() {
    if (rows < 1 || width < 1 || vocabulary < 2 || budget < 1 || runs < 1) {
      throw new ParameterException(
          spec.commandLine(), "rows, width, budget and runs are at least 1, the vocabulary 2");
    }
    new LinearHeadBench(spec.commandLine().getOut(), rows, width, vocabulary, budget, bf16, runs)
        .run();
    return 0;
  }
}
