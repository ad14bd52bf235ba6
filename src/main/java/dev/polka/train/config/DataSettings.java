package dev.polka.train.config;

import dev.polka.train.data.ArithmeticProblems;
import dev.polka.train.data.ArithmeticTask;
import dev.polka.train.data.FileProblems;
import dev.polka.train.data.Problem;
import dev.polka.train.data.ProblemFile;
import dev.polka.train.data.ProblemSource;
import dev.polka.train.data.SplitShares;
import java.nio.file.Path;
import java.util.List;

/**
 * Where problems come from and how responses are scored.
 *
 * @param file the JSONL file of problems; null for generated arithmetic
 * @param testFile a JSONL file of its own for the test part; null to split it off {@code file}
 * @param arithmetic the difficulty of generated problems; null where there is a file
 * @param shares how much each held-out part gets
 * @param seed chooses which problems go into which part; the same for every seed of the run
 * @param verifier name of the {@link dev.polka.train.data.Verifier}
 * @param template what the model reads, with {@code {prompt}} for the prompt
 * @param maxResponse most tokens of a response, its end included; 0 for what the solutions need
 */
public record DataSettings(
    String file,
    String testFile,
    ArithmeticTask arithmetic,
    SplitShares shares,
    long seed,
    String verifier,
    String template,
    int maxResponse) {

  /**
   * Opens the problems.
   *
   * @param base the folder that relative paths start from
   * @return the problems, read and split
   * @throws dev.polka.train.InputException if a file is missing or bad
   */
  public ProblemSource open(Path base) {
    if (file == null) {
      return new ArithmeticProblems(arithmetic, shares, seed);
    }
    List<Problem> problems = ProblemFile.read(base.resolve(file));
    return testFile == null
        ? FileProblems.split(problems, shares, seed)
        : FileProblems.split(problems, ProblemFile.read(base.resolve(testFile)), shares, seed);
  }

  /**
   * The same settings for a file of the user's.
   *
   * @param other the JSONL file
   * @param verifierName name of the verifier
   * @return settings whose sizes follow the file
   */
  public DataSettings withFile(String other, String verifierName) {
    return new DataSettings(other, null, null, shares, seed, verifierName, template, 0);
  }

  /**
   * The same settings with another longest response.
   *
   * @param tokens most tokens of a response
   * @return the settings
   */
  public DataSettings withMaxResponse(int tokens) {
    return new DataSettings(file, testFile, arithmetic, shares, seed, verifier, template, tokens);
  }
}
