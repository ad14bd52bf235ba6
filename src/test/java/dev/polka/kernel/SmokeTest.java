package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.internal.gen.PolkaNative;
import org.junit.jupiter.api.Test;

class SmokeTest {
  @Test
  void theLibraryLoads() {
    assertThat(PolkaNative.polka_version().getString()).isNotEmpty();
  }
}
