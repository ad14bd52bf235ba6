package dev.polka.train.report;

import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * One number per seed.
 *
 * @param values the numbers, in the order of the seeds
 */
public record SeedScores(List<Double> values) {
  // The standard error of two numbers is half their difference: they say more themselves.
  private static final int FEWEST_FOR_STANDARD_ERROR = 3;

  /**
   * Checks the values.
   *
   * @param values the numbers
   */
  public SeedScores {
    values = List.copyOf(values);
  }

  /**
   * The mean.
   *
   * @return NaN if there are no values
   */
  public double mean() {
    return values.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN);
  }

  /**
   * The standard error of the mean: the sample standard deviation over the root of the number of
   * seeds.
   *
   * @return empty for fewer than three seeds
   */
  public OptionalDouble standardError() {
    int n = values.size();
    if (n < FEWEST_FOR_STANDARD_ERROR) {
      return OptionalDouble.empty();
    }
    double mean = mean();
    double squares = values.stream().mapToDouble(v -> (v - mean) * (v - mean)).sum();
    return OptionalDouble.of(Math.sqrt(squares / (n - 1) / n));
  }

  /**
   * Each value minus that of the same seed.
   *
   * @param others as many values
   * @return the paired differences
   * @throws IllegalArgumentException if there are not as many values
   */
  public SeedScores minus(SeedScores others) {
    if (values.size() != others.values.size()) {
      throw new IllegalArgumentException(
          "there are " + values.size() + " and " + others.values.size() + " values");
    }
    return new SeedScores(
        IntStream.range(0, values.size())
            .mapToObj(i -> values.get(i) - others.values.get(i))
            .toList());
  }

  /**
   * What a table shows: mean and standard error, or with fewer than three seeds the values.
   *
   * @param signed whether positive numbers get a plus sign
   * @return such as {@code 0.912 ± 0.004} or {@code 0.91, 0.89}
   */
  public String text(boolean signed) {
    if (values.isEmpty()) {
      return "not finished";
    }
    String format = signed ? "%+.3f" : "%.3f";
    OptionalDouble error = standardError();
    if (error.isPresent()) {
      return String.format(Locale.ROOT, format + " \u00B1 %.3f", mean(), error.getAsDouble());
    }
    return values.stream()
        .map(value -> String.format(Locale.ROOT, format, value))
        .collect(Collectors.joining(", "));
  }
}
