package dev.polka.train.config;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Optional;

/** Finds what a mistyped name was meant to be. */
final class NearestName {
  private NearestName() {}

  /** {@code "; did you mean 'x'?"}, or, where nothing is near, what there is. */
  static String hint(String name, Collection<String> known) {
    Optional<String> nearest = nearest(name, known);
    if (nearest.isPresent()) {
      return "; did you mean '" + nearest.get() + "'?";
    }
    return known.isEmpty() ? "" : "; there are " + String.join(", ", known);
  }

  static Optional<String> nearest(String name, Collection<String> known) {
    String plain = plain(name);
    return known.stream()
        .filter(other -> distance(plain, plain(other)) <= Math.max(1, plain.length() / 3))
        .min(Comparator.comparingInt(other -> distance(plain, plain(other))));
  }

  // learning_rate, Learning-Rate and learningRate are the same word.
  private static String plain(String name) {
    return name.replaceAll("[-_. ]", "").toLowerCase(Locale.ROOT);
  }

  /** Edits from one word to the other, a swap of neighbours counted as one. */
  private static int distance(String a, String b) {
    int[][] d = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      for (int j = 0; j <= b.length(); j++) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        int change = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
        d[i][j] = Math.min(Math.min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + change);
        if (i > 1
            && j > 1
            && a.charAt(i - 1) == b.charAt(j - 2)
            && a.charAt(i - 2) == b.charAt(j - 1)) {
          d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
        }
      }
    }
    return d[a.length()][b.length()];
  }
}
