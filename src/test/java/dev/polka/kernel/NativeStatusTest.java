package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Allocator;
import dev.polka.memory.Device;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Placement;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class NativeStatusTest {
  @BeforeAll
  static void leaveAMessage() {
    Backend.cudaUnavailable();
  }

  private static Class<?> thrownFor(int status, Device device) {
    try {
      NativeStatus.check(status, device);
      return null;
    } catch (RuntimeException thrown) {
      assertThat(thrown).hasMessage(NativeStatus.inJava(NativeStatus.lastError()));
      return thrown.getClass();
    }
  }

  @Test
  void everyStatusHasItsException() {
    assertThat(thrownFor(0, Device.CPU)).isNull();
    assertThat(thrownFor(1, Device.CPU)).isEqualTo(IllegalArgumentException.class);
    assertThat(thrownFor(2, Device.CPU)).isEqualTo(IndexOutOfBoundsException.class);
    assertThat(thrownFor(3, Device.CPU)).isEqualTo(PolkaException.class);
    assertThat(thrownFor(3, Device.cuda(0))).isEqualTo(CudaException.class);
    assertThat(thrownFor(4, Device.CPU)).isEqualTo(PolkaException.class);
    assertThat(thrownFor(5, Device.cuda(0))).isEqualTo(CudaException.class);
    assertThat(thrownFor(6, Device.cuda(0))).isEqualTo(CudaFatalException.class);
  }

  @Test
  void theCodeIsKept() {
    assertThatThrownBy(() -> NativeStatus.check(4, Device.CPU))
        .isInstanceOfSatisfying(PolkaException.class, e -> assertThat(e.code()).isEqualTo(4));
  }

  @Test
  void memoryOnADeviceThatIsNotThereIsRefusedWithTheReason() {
    Placement cuda = new Placement(Device.cuda(0), 0, Allocator.nativeMemory());
    Floats rewards = Floats.view(64, 2, cuda, null);
    Floats advantages = Floats.view(128, 2, cuda, null);

    assertThatThrownBy(
            () ->
                GroupAdvantage.grpo()
                    .forward(
                        rewards,
                        Groups.ofOffsets(Longs.view(256, 2, cuda, null)),
                        GroupAdvantageResult.of(advantages)))
        .isInstanceOf(CudaException.class)
        .hasMessageContaining("CUDA");
  }

  @Test
  void anotherThreadsFailureDoesNotChangeThisOnesText() throws InterruptedException {
    String mine = NativeStatus.lastError();
    Groups beyond = Groups.ofOffsets(Longs.copyOf(0, 2));
    List<String> theirs = new CopyOnWriteArrayList<>();
    Thread other =
        new Thread(
            () -> {
              try {
                GroupAdvantage.grpo().forward(Floats.copyOf(1), beyond);
              } catch (IllegalArgumentException failure) {
                theirs.add(failure.getMessage());
              }
            });
    other.start();
    other.join();

    assertThat(theirs).singleElement().asString().contains("ends at 2, must end at 1");
    assertThat(NativeStatus.lastError()).isEqualTo(mine);
  }
}
