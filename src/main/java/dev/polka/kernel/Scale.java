package dev.polka.kernel;

/**
 * What a centred reward is divided by: a {@link Std} of the group, its mean, or a number.
 *
 * @param code as in {@code polka.h}
 * @param given the number, where that is what counts
 */
record Scale(int code, double given) {
  private static final int GROUP_MEAN = 4;
  private static final int GIVEN = 5;

  static Scale of(Std std) {
    return new Scale(std.code(), 0);
  }

  static Scale groupMean() {
    return new Scale(GROUP_MEAN, 0);
  }

  static Scale given(String name, double value) {
    return new Scale(GIVEN, Require.notNegative(name, value));
  }
}
