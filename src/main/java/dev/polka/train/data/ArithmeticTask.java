package dev.polka.train.data;

/**
 * The difficulty of generated addition problems.
 *
 * <p>A problem is {@code 47+38=} with the answer {@code 58}: 85 with its least significant digit
 * first, the order in which a carry is computed. What makes it hard for a small model is the carry,
 * which is learnt late and all at once; {@link #carryFree} and a mixture of digit counts turn that
 * jump into a slope.
 *
 * @param minDigits fewest digits of an operand, at least 1
 * @param maxDigits most digits of an operand, at most 8; each operand draws its count uniformly
 * @param carryFree share in [0, 1] of problems made so that no digit carries; the others are drawn
 *     freely and may carry or not
 * @param zeroPadded whether operands are written with {@code maxDigits} digits and the answer with
 *     {@code maxDigits + 1}, so that every digit has its place
 * @param leastSignificantFirst whether the answer is written backwards
 */
public record ArithmeticTask(
    int minDigits,
    int maxDigits,
    double carryFree,
    boolean zeroPadded,
    boolean leastSignificantFirst) {
  private static final int MOST_DIGITS = 8;

  /**
   * Checks the values.
   *
   * @param minDigits fewest digits of an operand
   * @param maxDigits most digits of an operand
   * @param carryFree share in [0
   * @param zeroPadded whether operands are written with {@code maxDigits} digits and the answer
   *     with {@code maxDigits + 1}
   * @param leastSignificantFirst whether the answer is written backwards
   */
  public ArithmeticTask {
    if (minDigits < 1 || minDigits > maxDigits || maxDigits > MOST_DIGITS) {
      throw new IllegalArgumentException(
          "digits are "
              + minDigits
              + " to "
              + maxDigits
              + ", must be an ascending range in 1 to "
              + MOST_DIGITS);
    }
    if (!(carryFree >= 0 && carryFree <= 1)) {
      throw new IllegalArgumentException("carryFree is " + carryFree + ", must be in [0, 1]");
    }
  }

  /**
   * Two-digit addition as it comes: the answer backwards, no padding.
   *
   * @return the task
   */
  public static ArithmeticTask twoDigitAddition() {
    return new ArithmeticTask(2, 2, 0, false, true);
  }

  /**
   * The symbols that prompts and answers are made of.
   *
   * @return ten digits, plus and equals
   */
  public static String symbols() {
    return "0123456789+=";
  }

  /**
   * A problem whose prompt and answer are as long as any.
   *
   * @return the sum of the largest operands
   */
  public Problem longest() {
    long largest = Long.parseLong("9".repeat(maxDigits));
    return problem(largest, largest);
  }

  /** Writes the problem a + b. */
  Problem problem(long a, long b) {
    int width = zeroPadded ? maxDigits : 1;
    String sum = padded(a + b, zeroPadded ? maxDigits + 1 : 1);
    String answer = leastSignificantFirst ? new StringBuilder(sum).reverse().toString() : sum;
    String prompt = padded(a, width) + "+" + padded(b, width) + "=";
    return new Problem(prompt, answer, answer, "arithmetic");
  }

  private static String padded(long number, int width) {
    String digits = Long.toString(number);
    return "0".repeat(Math.max(0, width - digits.length())) + digits;
  }
}
