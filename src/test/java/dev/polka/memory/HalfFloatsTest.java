package dev.polka.memory;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class HalfFloatsTest {
  @Test
  void everyHalfSurvivesTheRoundTrip() {
    for (int bits = 0; bits < 0x10000; bits++) {
      float value = HalfFloats.fromF16((short) bits);
      short back = HalfFloats.toF16(value);
      assertThat(Float.isNaN(value) ? Float.isNaN(HalfFloats.fromF16(back)) : back == (short) bits)
          .as("half 0x%04x = %s", bits, value)
          .isTrue();
    }
  }

  @Test
  void everyBfloatSurvivesTheRoundTrip() {
    for (int bits = 0; bits < 0x10000; bits++) {
      float value = HalfFloats.fromBf16((short) bits);
      short back = HalfFloats.toBf16(value);
      assertThat(Float.isNaN(value) ? Float.isNaN(HalfFloats.fromBf16(back)) : back == (short) bits)
          .as("bfloat 0x%04x = %s", bits, value)
          .isTrue();
    }
  }

  @Test
  void halvesHaveTheKnownValues() {
    assertThat(HalfFloats.fromF16((short) 0x3c00)).isEqualTo(1f);
    assertThat(HalfFloats.fromF16((short) 0xc000)).isEqualTo(-2f);
    assertThat(HalfFloats.fromF16((short) 0x7bff)).isEqualTo(65504f);
    assertThat(HalfFloats.fromF16((short) 0x0001)).isEqualTo(0x1p-24f);
    assertThat(HalfFloats.fromF16((short) 0x3555)).isEqualTo(0.33325195f);
    assertThat(HalfFloats.fromF16((short) 0xfc00)).isEqualTo(Float.NEGATIVE_INFINITY);
  }

  @Test
  void tiesGoToTheEvenNeighbour() {
    assertThat(HalfFloats.toBf16(0x1.01p0f)).isEqualTo((short) 0x3f80);
    assertThat(HalfFloats.toBf16(0x1.03p0f)).isEqualTo((short) 0x3f82);
    assertThat(HalfFloats.toBf16(0x1.010002p0f)).isEqualTo((short) 0x3f81);
    assertThat(HalfFloats.toF16(0x1.002p0f)).isEqualTo((short) 0x3c00);
    assertThat(HalfFloats.toF16(0x1.006p0f)).isEqualTo((short) 0x3c02);
    assertThat(HalfFloats.toF16(0x1p-25f)).isEqualTo((short) 0);
    assertThat(HalfFloats.toF16(0x1.8p-24f)).isEqualTo((short) 2);
    assertThat(HalfFloats.toF16(-0x1p-25f)).isEqualTo((short) 0x8000);
  }

  @Test
  void largeValuesRoundToInfinity() {
    assertThat(HalfFloats.toF16(65519.996f)).isEqualTo((short) 0x7bff);
    assertThat(HalfFloats.toF16(65520f)).isEqualTo((short) 0x7c00);
    assertThat(HalfFloats.toBf16(Float.MAX_VALUE)).isEqualTo((short) 0x7f80);
  }
}
