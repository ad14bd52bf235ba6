package dev.polka.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import org.junit.jupiter.api.Test;

class ValuesTest {
  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }

  @Test
  void noValuesBecomeAnEmptyArray() {
    assertThat(Floats.allocate(0).toArray()).isEmpty();
    assertThat(Doubles.allocate(0).toArray()).isEmpty();
    assertThat(Longs.allocate(0).toArray()).isEmpty();
    assertThat(Ints.allocate(0).toArray()).isEmpty();
    assertThat(Bytes.allocate(0).toArray()).isEmpty();
  }

  @Test
  void copiesKeepTheirValues() {
    assertThat(Floats.copyOf(1.5f, -2f).toArray()).containsExactly(1.5f, -2f);
    assertThat(Doubles.copyOf(1.5, Double.NaN).toArray()).containsExactly(1.5, Double.NaN);
    assertThat(Longs.copyOf(-100, 1L << 40).toArray()).containsExactly(-100, 1L << 40);
    assertThat(Ints.copyOf(3, -4).toArray()).containsExactly(3, -4);
    assertThat(Bytes.copyOf((byte) 1, (byte) -1).toArray()).containsExactly(1, -1);
    assertThat(Bytes.copyOf(true, false).toArray()).containsExactly(1, 0);
  }

  @Test
  void buffersAreSharedBothWays() {
    ByteBuffer memory = direct(32);
    LongBuffer buffer = memory.asLongBuffer();
    buffer.position(1);
    Longs longs = Longs.of(buffer);

    longs.set(0, 7);
    memory.putLong(16, 9);

    assertThat(longs.size()).isEqualTo(3);
    assertThat(memory.getLong(8)).isEqualTo(7);
    assertThat(longs.get(1)).isEqualTo(9);
    assertThat(longs.owner()).isSameAs(buffer);
  }

  @Test
  void everyTypeReadsAndWritesItsElements() {
    Floats floats = Floats.of(direct(8).asFloatBuffer());
    Doubles doubles = Doubles.of(direct(16).asDoubleBuffer());
    Ints ints = Ints.of(direct(8).asIntBuffer());
    Bytes bytes = Bytes.of(direct(2));

    floats.set(1, 0.5f);
    doubles.set(1, 0.25);
    ints.set(1, -3);
    bytes.set(1, (byte) 5);

    assertThat(floats.get(1)).isEqualTo(0.5f);
    assertThat(doubles.get(1)).isEqualTo(0.25);
    assertThat(ints.get(1)).isEqualTo(-3);
    assertThat(bytes.get(1)).isEqualTo((byte) 5);
  }

  @Test
  void addressesAreSeen() {
    try (Doubles owner = Doubles.copyOf(1, 2, 3)) {
      Doubles view = Doubles.ofAddress(owner.address() + 8, 16);

      assertThat(view.toArray()).containsExactly(2, 3);
      view.close();
      assertThat(owner.get(1)).isEqualTo(2);
    }
  }

  @Test
  void aByteLengthThatCutsAnElementIsRefused() {
    assertThatThrownBy(() -> Longs.ofAddress(64, 15))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("Longs: 15 bytes are not a whole number of 8-byte elements");
  }

  @Test
  void slicesAreParts() {
    Ints ints = Ints.copyOf(1, 2, 3, 4);

    assertThat(ints.slice(1, 2).toArray()).containsExactly(2, 3);
    assertThatThrownBy(() -> ints.slice(3, 2)).isInstanceOf(IndexOutOfBoundsException.class);
  }

  @Test
  void aClosedViewAndItsPartsRefuseToBeUsed() {
    Floats floats = Floats.copyOf(1, 2);
    Floats part = floats.slice(0, 1);
    floats.close();

    assertThatThrownBy(() -> floats.get(0))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("Floats: used after close()");
    assertThatThrownBy(() -> part.get(0)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void indicesOutsideAreRefused() {
    Floats floats = Floats.copyOf(1, 2);

    assertThatThrownBy(() -> floats.get(2)).isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> floats.set(-1, 0)).isInstanceOf(IndexOutOfBoundsException.class);
  }

  @Test
  void emptyViewsAreLegal() {
    assertThat(Floats.allocate(0).toArray()).isEmpty();
    assertThat(Floats.copyOf().toArray()).isEmpty();
    assertThat(Longs.ofAddress(0, 0).size()).isZero();
  }

  @Test
  void aNegativeSizeIsRefused() {
    assertThatThrownBy(() -> Floats.allocate(-1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("Floats: size -1 is negative");
  }

  @Test
  void aReadOnlyBufferGivesAReadOnlyView() {
    Bytes bytes = Bytes.of(direct(2).asReadOnlyBuffer());

    assertThat(bytes.readOnly()).isTrue();
    assertThat(bytes.get(0)).isZero();
    assertThatThrownBy(() -> bytes.set(0, (byte) 1)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void theCpuHasNoStreamAndNoSecondDevice() {
    assertThatThrownBy(() -> new Placement(Device.CPU, 1, Allocator.nativeMemory()))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> new Device(Device.Kind.CPU, 1))
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(Device.cuda(2)).hasToString("cuda:2");
  }
}
