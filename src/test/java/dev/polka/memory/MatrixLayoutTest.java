package dev.polka.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class MatrixLayoutTest {
  @Test
  void aSliceAlongTimeHasTwoLevels() {
    MatrixLayout layout = MatrixLayout.blocks(2, 3, 5, 5, 20); // [:, :3] of [2, 4, 5]

    assertThat(layout.rows()).isEqualTo(6);
    assertThat(layout.rowOffset(2)).isEqualTo(10);
    assertThat(layout.rowOffset(3)).isEqualTo(20);
    assertThat(layout.span()).isEqualTo(35);
    assertThat(layout.isContiguous()).isFalse();
  }

  @Test
  void densityIsRecognized() {
    assertThat(MatrixLayout.contiguous(3, 4).isContiguous()).isTrue();
    assertThat(MatrixLayout.strided(3, 4, 5).isContiguous()).isFalse();
    assertThat(MatrixLayout.strided(1, 4, 5).isContiguous()).isTrue();
    assertThat(MatrixLayout.blocks(2, 3, 5, 5, 15).isContiguous()).isTrue();
    assertThat(MatrixLayout.contiguous(0, 4).isContiguous()).isTrue();
  }

  @Test
  void rowsOfOneBlockOrOfWholeBlocksHaveALayout() {
    MatrixLayout layout = MatrixLayout.blocks(3, 2, 5, 5, 20);

    assertThat(layout.slice(2, 4)).isEqualTo(MatrixLayout.strided(2, 5, 5));
    assertThat(layout.slice(0, 4)).isEqualTo(new MatrixLayout(4, 5, 5, 2, 20));
    assertThat(layout.slice(3, 3).rows()).isZero();
    assertThatThrownBy(() -> layout.slice(1, 3))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("rows: [1, 3) covers parts of several blocks of 2 rows");
  }

  @Test
  void distancesBeyondFourBillionElementsAreExact() {
    long stride = (1L << 32) + 64;

    assertThat(MatrixLayout.strided(2, 10, stride).span()).isEqualTo(stride + 10);
  }

  @Test
  void numbersOutOfRangeAreNamed() {
    assertThatThrownBy(() -> MatrixLayout.contiguous(-1, 4))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("layout: rows is -1, it must be at least 0");
    assertThatThrownBy(() -> MatrixLayout.contiguous(1, 0))
        .hasMessage("layout: cols is 0, it must be at least 1");
    assertThatThrownBy(() -> MatrixLayout.strided(2, 4, 3))
        .hasMessage("layout: rowStride is 3, it must be at least cols 4");
    assertThatThrownBy(() -> new MatrixLayout(5, 4, 4, 2, 8))
        .hasMessage("layout: outerRows is 2, it must be a divisor of rows 5");
    assertThatThrownBy(() -> new MatrixLayout(4, 4, 4, 2, 3))
        .hasMessage("layout: outerStride is 3, it must be at least cols 4");
    assertThatThrownBy(() -> MatrixLayout.strided(3, 4, Long.MAX_VALUE / 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("2^60");
    assertThatThrownBy(() -> MatrixLayout.strided(9, 4, Long.MAX_VALUE / 2))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("2^60");
  }
}
