package dev.polka.reward;

/** Checks that arrays fit each other. */
final class Sizes {
  private Sizes() {}

  static void require(String name, int length, int rewards) {
    if (length != rewards) {
      throw new IllegalArgumentException(
          name + ": has " + length + " elements, " + rewards + " (one per reward) are needed");
    }
  }
}
