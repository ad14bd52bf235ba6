package dev.polka.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import org.junit.jupiter.api.Test;

class MatrixTest {
  private static FloatBuffer buffer(int size) {
    FloatBuffer buffer =
        ByteBuffer.allocateDirect(4 * size).order(ByteOrder.nativeOrder()).asFloatBuffer();
    for (int i = 0; i < size; i++) {
      buffer.put(i, i);
    }
    return buffer;
  }

  @Test
  void aBufferIsSeenRowAfterRow() {
    Matrix matrix = Matrix.of(buffer(12), 3, 4);

    assertThat(matrix.get(0, 3)).isEqualTo(3);
    assertThat(matrix.get(2, 1)).isEqualTo(9);
  }

  @Test
  void theViewStartsAtTheBuffersPosition() {
    FloatBuffer buffer = buffer(12);
    buffer.position(5);

    assertThat(Matrix.of(buffer, 1, 4).get(0, 0)).isEqualTo(5);
    assertThat(Matrix.of(buffer.slice(), 1, 4).get(0, 0)).isEqualTo(5);
  }

  @Test
  void writesReachTheBuffer() {
    FloatBuffer buffer = buffer(12);

    Matrix.of(buffer, 3, 4).set(1, 2, 0.5f);

    assertThat(buffer.get(6)).isEqualTo(0.5f);
  }

  @Test
  void twoLevelRowsSkipTheGap() {
    Matrix shorter = Matrix.of(buffer(24), MatrixLayout.blocks(2, 3, 3, 3, 12));

    assertThat(shorter.rows()).isEqualTo(6);
    assertThat(shorter.get(2, 2)).isEqualTo(8);
    assertThat(shorter.get(3, 0)).isEqualTo(12);
    assertThat(shorter.rows(2, 3).toArray()).containsExactly(6, 7, 8);
    assertThat(shorter.rows(3, 6).toArray()).containsExactly(12, 13, 14, 15, 16, 17, 18, 19, 20);
  }

  @Test
  void partsShareTheMemory() {
    Matrix whole = Matrix.allocate(DType.F32, 4, 2);
    Matrix part = whole.rows(1, 3);

    part.set(1, 0, 7f);

    assertThat(whole.get(2, 0)).isEqualTo(7f);
    assertThat(part.rows()).isEqualTo(2);
    whole.close();
    assertThatThrownBy(part::address).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void halvesAreConverted() {
    for (DType dtype : new DType[] {DType.BF16, DType.F16}) {
      try (Matrix matrix = Matrix.copyOf(dtype, 1, 3, 1f, -2.5f, 0.1f)) {
        assertThat(matrix.get(0, 0)).isEqualTo(1f);
        assertThat(matrix.get(0, 1)).isEqualTo(-2.5f);
        assertThat(matrix.get(0, 2)).isNotEqualTo(0.1f).isBetween(0.0995f, 0.1005f);
      }
    }
  }

  @Test
  void shortBuffersHoldSixteenBitTypesOnly() {
    ShortBuffer shorts =
        ByteBuffer.allocateDirect(8).order(ByteOrder.nativeOrder()).asShortBuffer();

    assertThat(Matrix.of(shorts, DType.BF16, 2, 2).get(1, 1)).isZero();
    assertThatThrownBy(() -> Matrix.of(shorts, DType.F32, 2, 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("F32");
  }

  @Test
  void heapAndForeignOrderBuffersAreRefused() {
    assertThatThrownBy(() -> Matrix.of(FloatBuffer.allocate(4), 2, 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("heap");
    FloatBuffer foreign = ByteBuffer.allocateDirect(16).order(ByteOrder.BIG_ENDIAN).asFloatBuffer();
    assertThatThrownBy(() -> Matrix.of(foreign, 2, 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("BIG_ENDIAN");
  }

  @Test
  void aBufferThatIsTooSmallIsRefusedWithBothSizes() {
    assertThatThrownBy(() -> Matrix.of(buffer(11), 3, 4))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("Matrix: [3, 4] spans 12 elements, the memory has 11");
  }

  @Test
  void aReadOnlyBufferIsRememberedAsSuch() {
    Matrix matrix = Matrix.of(buffer(4).asReadOnlyBuffer(), 2, 2);

    assertThat(matrix.readOnly()).isTrue();
    assertThat(matrix.get(1, 1)).isEqualTo(3);
    assertThatThrownBy(() -> matrix.set(0, 0, 1))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("read-only");
  }

  @Test
  void anAddressIsCheckedForLengthAlignmentAndType() {
    try (Floats memory = Floats.allocate(8)) {
      long address = memory.address();

      assertThat(Matrix.ofAddress(address, 32, DType.F32, 2, 4).address()).isEqualTo(address);
      assertThatThrownBy(() -> Matrix.ofAddress(address, 31, DType.F32, 2, 4))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("the memory has 7");
      assertThatThrownBy(() -> Matrix.ofAddress(address + 2, 32, DType.F32, 1, 4))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("multiple of the 4 bytes");
      assertThatThrownBy(() -> Matrix.ofAddress(0, 32, DType.F32, 2, 4))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("address is 0");
      assertThatThrownBy(() -> Matrix.ofAddress(address, 32, DType.F64, 1, 4))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("F64");
    }
  }

  @Test
  void aClosedMatrixRefusesToBeUsed() {
    Matrix matrix = Matrix.allocate(DType.F32, 1, 1);
    matrix.close();
    matrix.close();

    assertThatThrownBy(() -> matrix.get(0, 0))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("Matrix: used after close()");
  }

  @Test
  void elementsOutsideAreRefused() {
    Matrix matrix = Matrix.of(buffer(4), 2, 2);

    assertThatThrownBy(() -> matrix.get(2, 0)).isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> matrix.get(0, 2)).isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> matrix.get(0, -1)).isInstanceOf(IndexOutOfBoundsException.class);
  }

  @Test
  void memoryComesFromThePlacementsAllocator() {
    Object tensor = new Object();
    Floats memory = Floats.allocate(6);
    Allocator allocator =
        (dtype, rows, cols) ->
            new Allocation() {
              @Override
              public long address() {
                return memory.address();
              }

              @Override
              public long bytes() {
                return rows * cols * dtype.bytes();
              }

              @Override
              public Object owner() {
                return tensor;
              }

              @Override
              public void close() {
                memory.close();
              }
            };
    Placement placement = new Placement(Device.CPU, 0, allocator);

    Matrix gradient = Matrix.allocate(placement, DType.F32, 2, 3);

    assertThat(gradient.owner()).isSameAs(tensor);
    assertThat(gradient.rows(0, 1).owner()).isSameAs(tensor);
    gradient.close();
    assertThatThrownBy(memory::address).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void memoryOnADeviceCannotBeReadFromTheHost() {
    Placement cuda = new Placement(Device.cuda(0), 5, Allocator.nativeMemory());
    Matrix matrix = Matrix.view(64, DType.F32, MatrixLayout.contiguous(1, 1), cuda, null);

    assertThatThrownBy(() -> matrix.get(0, 0))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("cuda:0");
  }
}
