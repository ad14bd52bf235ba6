package dev.polka.memory;

import static org.assertj.core.api.Assertions.assertThat;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.junit.jupiter.api.Test;

class NativeMemoryTest {
  private static final long BYTES = 1 << 20;

  @Test
  void theEndOfACallersScopeDoesNotFreeIt() {
    Floats floats;
    long before = Pointer.totalBytes();
    try (PointerScope scope = new PointerScope()) {
      floats = Floats.allocate(BYTES / 4);
    }
    assertThat(Pointer.totalBytes() - before).isGreaterThanOrEqualTo(BYTES);
    floats.set(BYTES / 4 - 1, 3f);
    assertThat(floats.get(BYTES / 4 - 1)).isEqualTo(3f);
    floats.close();
    assertThat(Pointer.totalBytes() - before).isLessThan(BYTES);
  }

  @Test
  void closingFreesItAtOnceWithoutAScope() {
    long before = Pointer.totalBytes();
    Floats.allocate(BYTES / 4).close();
    assertThat(Pointer.totalBytes() - before).isLessThan(BYTES);
  }
}
