package dev.polka.train.data;

import dev.polka.train.InputException;
import dev.polka.train.RandomKey;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Generated addition problems with held-out parts.
 *
 * <p>The part that a problem belongs to is a hash of its two operands, whichever comes first, so
 * the parts are disjoint by construction and {@code 38+47=} is never trained on where {@code
 * 47+38=} is tested. A problem is drawn by redrawing operands until they fall into the part asked
 * for; everything is a function of (seed, part, index).
 */
public final class ArithmeticProblems implements ProblemSource {
  // 2 draws for the digit counts and 2 for the operands.
  private static final int DRAWS = 4;
  // A part of share 0.01 is missed by this many draws once in 10^43 times.
  private static final int MOST_ATTEMPTS = 10_000;
  // The last few problems of a small part are rarely drawn; this many misses in a row are the end.
  private static final int MOST_REPEATS = 2_000;

  private final ArithmeticTask task;
  private final SplitShares shares;
  private final RandomKey splitKey;

  /**
   * A generator.
   *
   * @param task the difficulty
   * @param shares how much each part gets
   * @param seed chooses which problems go into which part; not the seed of a run, since all runs
   *     are evaluated on the same problems
   */
  public ArithmeticProblems(ArithmeticTask task, SplitShares shares, long seed) {
    this.task = task;
    this.shares = shares;
    this.splitKey = RandomKey.ofSeed(seed).with("arithmetic split");
  }

  /**
   * The difficulty.
   *
   * @return the task
   */
  public ArithmeticTask task() {
    return task;
  }

  @Override
  public Problem draw(Split split, long seed, long index) {
    if (index < 0) {
      throw new IllegalArgumentException("index is " + index + ", must be at least 0");
    }
    RandomKey key = RandomKey.ofSeed(seed).with("arithmetic").with(split.name()).with(index);
    boolean carryFree = key.uniform(-1) < task.carryFree();
    for (int attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      long counter = (long) attempt * DRAWS;
      long a = operand(key, counter);
      long b = operand(key, counter + 2);
      if (splitOf(a, b) == split && !(carryFree && carries(a, b))) {
        return task.problem(a, b);
      }
    }
    throw new InputException(
        "no "
            + split.name().toLowerCase()
            + " problem of "
            + task.minDigits()
            + " to "
            + task.maxDigits()
            + " digits found; give that part a larger share or the task more digits");
  }

  @Override
  public List<Problem> heldOut(Split split, int count) {
    var problems = new ArrayList<Problem>();
    Set<String> prompts = new HashSet<>();
    int repeats = 0;
    for (long index = 0; problems.size() < count; index++) {
      Problem problem = draw(split, splitKey.state(), index);
      if (prompts.add(problem.prompt())) {
        problems.add(problem);
        repeats = 0;
      } else if (++repeats == MOST_REPEATS) {
        throw new InputException(
            "evaluation asks for "
                + count
                + " distinct "
                + split.name().toLowerCase()
                + " problems, additions of "
                + task.minDigits()
                + " to "
                + task.maxDigits()
                + " digits give about "
                + problems.size());
      }
    }
    return List.copyOf(problems);
  }

  /** The part that a + b and b + a belong to. */
  Split splitOf(long a, long b) {
    return shares.at(splitKey.with(Math.min(a, b)).uniform(Math.max(a, b)));
  }

  private long operand(RandomKey key, long counter) {
    int counts = task.maxDigits() - task.minDigits() + 1;
    int digits = task.minDigits() + (int) key.below(counter, counts);
    long smallest = digits == 1 ? 0 : powerOfTen(digits - 1);
    return smallest + key.below(counter + 1, powerOfTen(digits) - smallest);
  }

  private static boolean carries(long a, long b) {
    for (; a > 0 && b > 0; a /= 10, b /= 10) {
      if (a % 10 + b % 10 > 9) {
        return true;
      }
    }
    return false;
  }

  private static long powerOfTen(int exponent) {
    long power = 1;
    for (int i = 0; i < exponent; i++) {
      power *= 10;
    }
    return power;
  }
}
