package dev.polka.train.data;

/**
 * Which share of the problems each held-out part gets; {@link Split#TRAIN} gets the rest.
 *
 * @param fresh share of {@link Split#FRESH}, in [0, 1)
 * @param validation share of {@link Split#VALIDATION}, in [0, 1)
 * @param test share of {@link Split#TEST}, in [0, 1)
 */
public record SplitShares(double fresh, double validation, double test) {
  /**
   * Checks the values.
   *
   * @param fresh share of {@link Split#FRESH}
   * @param validation share of {@link Split#VALIDATION}
   * @param test share of {@link Split#TEST}
   */
  public SplitShares {
    requireShare("fresh", fresh);
    requireShare("validation", validation);
    requireShare("test", test);
    if (fresh + validation + test >= 1) {
      throw new IllegalArgumentException(
          "fresh, validation and test shares add up to "
              + (fresh + validation + test)
              + "; they must leave something for training");
    }
  }

  /**
   * The split of a point of the unit interval.
   *
   * @param point in [0, 1)
   * @return the split that owns the point
   */
  Split at(double point) {
    if (point < test) {
      return Split.TEST;
    }
    if (point < test + validation) {
      return Split.VALIDATION;
    }
    return point < test + validation + fresh ? Split.FRESH : Split.TRAIN;
  }

  private static void requireShare(String name, double share) {
    if (!(share >= 0 && share < 1)) {
      throw new IllegalArgumentException(name + " share is " + share + ", must be in [0, 1)");
    }
  }
}
