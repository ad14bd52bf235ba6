package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class BackendTest {
  @AfterEach
  void restore() {
    Backend.threads(0);
    Backend.forceTarget(SimdTarget.NONE);
  }

  @Test
  void theVersionIsANumber() {
    assertThat(Backend.version()).matches("\\d+\\.\\d+\\.\\d+.*");
  }

  @Test
  void theNumberOfThreadsIsTheOneSet() {
    Backend.threads(3);

    assertThat(Backend.threads()).isEqualTo(3);
  }

  @Test
  void noThreadsMeansAsManyAsTheMachineHas() {
    int machine = Backend.threads();
    Backend.threads(machine + 5);
    Backend.threads(0);

    assertThat(Backend.threads()).isEqualTo(machine);
  }

  @Test
  void aNegativeNumberOfThreadsIsRefused() {
    assertThatThrownBy(() -> Backend.threads(-1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("threads: -1 is negative");
  }

  @Test
  void everySupportedTargetCanBeForced() {
    assertThat(Backend.supports(SimdTarget.SSE4)).isTrue();
    for (SimdTarget target : SimdTarget.values()) {
      if (Backend.supports(target)) {
        Backend.forceTarget(target);

        assertThat(Backend.target()).isEqualTo(target);
      }
    }
  }

  @Test
  void cudaSaysWhyNot() {
    assertThat(Backend.cudaUnavailable()).hasValueSatisfying(r -> assertThat(r).contains("CUDA"));
    assertThatThrownBy(Backend::requireCuda)
        .isInstanceOfSatisfying(
            CudaException.class,
            e -> {
              assertThat(e.code()).isEqualTo(3);
              assertThat(e.errorName()).isEmpty();
            })
        .hasMessage(Backend.cudaUnavailable().orElseThrow());
  }

  @Test
  void theDescriptionNamesEverythingThatDecides() {
    assertThat(Backend.describe())
        .contains("version: " + Backend.version())
        .contains("platform: linux-x86_64")
        .contains("native library: ")
        .contains("libjnipolka.so")
        .contains("SIMD target: " + Backend.target())
        .contains("threads: " + Backend.threads())
        .contains("CUDA: no: ")
        .containsPattern("glibc: 2\\.\\d+ \\(the native library needs 2\\.\\d+\\)");
  }

  @Test
  void aCudaErrorNameIsReadFromTheMessage() {
    var exception = new CudaException(3, "device: cudaErrorNoDevice: no CUDA-capable device");

    assertThat(exception.errorName()).hasValue("cudaErrorNoDevice");
  }
}
