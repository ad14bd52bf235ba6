package dev.polka.reference;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class StorageTest {
  @Test
  void everyF16ValueSurvivesTheRoundTrip() {
    for (int bits = 0; bits < 0x10000; bits++) {
      float value = Storage.fromF16((short) bits);
      assertThat(Float.isNaN(value) || Storage.toF16(value) == (short) bits)
          .as("bits %x", bits)
          .isTrue();
    }
  }

  @Test
  void everyBf16ValueSurvivesTheRoundTrip() {
    for (int bits = 0; bits < 0x10000; bits++) {
      float value = Storage.fromBf16((short) bits);
      assertThat(Float.isNaN(value) || Storage.toBf16(value) == (short) bits)
          .as("bits %x", bits)
          .isTrue();
    }
  }

  @Test
  void midpointsBetweenF16NeighboursGoToTheEvenOne() {
    for (int bits = 0; bits < 0x7C00; bits++) {
      double midpoint = (Storage.fromF16((short) bits) + (double) above(bits)) / 2;
      int even = (bits & 1) == 0 ? bits : bits + 1;
      assertThat(Storage.toF16((float) midpoint)).as("above bits %x", bits).isEqualTo((short) even);
      assertThat(Storage.toF16(Math.nextDown((float) midpoint))).isEqualTo((short) bits);
      assertThat(Storage.toF16(Math.nextUp((float) midpoint))).isEqualTo((short) (bits + 1));
    }
  }

  /** The next f16 in a range that does not end at 65504. */
  private static float above(int bits) {
    return bits + 1 == 0x7C00 ? 65536f : Storage.fromF16((short) (bits + 1));
  }

  @Test
  void midpointsBetweenBf16NeighboursGoToTheEvenOne() {
    for (int bits = 0; bits < 0x7F80; bits++) {
      float midpoint = Float.intBitsToFloat(bits << 16 | 0x8000);
      int even = (bits & 1) == 0 ? bits : bits + 1;
      assertThat(Storage.toBf16(midpoint)).as("above bits %x", bits).isEqualTo((short) even);
      assertThat(Storage.toBf16(Math.nextDown(midpoint))).isEqualTo((short) bits);
      assertThat(Storage.toBf16(Math.nextUp(midpoint))).isEqualTo((short) (bits + 1));
    }
  }

  @Test
  void nanAndInfinityStayWhatTheyAre() {
    for (Storage type : Storage.values()) {
      assertThat(type.narrow(Float.NaN)).isNaN();
      assertThat(type.narrow(Float.POSITIVE_INFINITY)).isEqualTo(Float.POSITIVE_INFINITY);
      assertThat(type.narrow(Float.NEGATIVE_INFINITY)).isEqualTo(Float.NEGATIVE_INFINITY);
    }
  }

  @Test
  void halfAnUlpIsTheLargestRoundingError() {
    assertThat(Storage.F32.halfUlp(1)).isEqualTo(Math.ulp(1f) / 2);
    assertThat(Storage.F32.halfUlp(0)).isEqualTo((double) Float.MIN_VALUE / 2);
    assertThat(Storage.BF16.halfUlp(1)).isEqualTo(0x1p-8);
    assertThat(Storage.F16.halfUlp(1)).isEqualTo(0x1p-11);
    assertThat(Storage.F16.halfUlp(0)).isEqualTo(0x1p-25);
  }
}
