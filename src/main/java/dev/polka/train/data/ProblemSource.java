package dev.polka.train.data;

import java.util.List;

/**
 * Where problems come from: a generator ({@link ArithmeticProblems}) or a file ({@link
 * FileProblems}). Every method is a function of its arguments, so a training position is one number
 * and there is no iterator to save. Immutable and thread-safe.
 */
public sealed interface ProblemSource permits ArithmeticProblems, FileProblems {
  /**
   * The problem at a position of an endless training sequence.
   *
   * @param split the part to draw from
   * @param seed which sequence: the seed of the run
   * @param index the position, at least 0
   * @return the problem
   * @throws IllegalArgumentException if index is negative
   * @throws dev.polka.train.InputException if the part is empty
   */
  Problem draw(Split split, long seed, long index);

  /**
   * Distinct problems to evaluate on, the same for every seed, arm and stage.
   *
   * @param split the part to take from
   * @param count how many, at least 1
   * @return the problems, no prompt twice
   * @throws dev.polka.train.InputException if the part has fewer
   */
  List<Problem> heldOut(Split split, int count);
}
