package dev.polka.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.TokenBatch;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TorchTest {
  private PointerScope scope;

  @BeforeEach
  void open() {
    scope = new PointerScope();
  }

  @AfterEach
  void close() {
    scope.close();
  }

  /** Element (b, t, v) is 100 b + 10 t + v. */
  private static Tensor counting(int b, int t, int v) {
    float[] values = new float[b * t * v];
    for (int i = 0; i < values.length; i++) {
      values[i] = 100f * (i / (t * v)) + 10f * (i / v % t) + i % v;
    }
    return Tensors.of(values, b, t, v);
  }

  private static Tensor slice(Tensor tensor, long dim, long from, long to) {
    return tensor.slice(dim, new LongOptional(from), new LongOptional(to), 1);
  }

  @Test
  void aTwoDimensionalTensorIsTheMatrixOfItsRows() {
    Matrix matrix = Torch.matrix(Tensors.of(new float[] {1, 2, 3, 4, 5, 6}, 2, 3));
    assertThat(matrix.rows()).isEqualTo(2);
    assertThat(matrix.cols()).isEqualTo(3);
    assertThat(matrix.get(1, 2)).isEqualTo(6f);
  }

  @Test
  void allButTheLastPositionOfEachSequenceIsViewedInPlace() {
    Matrix matrix = Torch.matrix(slice(counting(2, 4, 3), 1, 0, 3));
    assertThat(matrix.rows()).isEqualTo(6);
    assertThat(matrix.get(2, 1)).isEqualTo(21f);
    assertThat(matrix.get(3, 0)).isEqualTo(100f);
  }

  @Test
  void aSliceOfSequencesIsViewedInPlace() {
    Matrix matrix = Torch.matrix(slice(counting(3, 2, 2), 0, 1, 3));
    assertThat(matrix.rows()).isEqualTo(4);
    assertThat(matrix.get(0, 0)).isEqualTo(100f);
    assertThat(matrix.get(3, 1)).isEqualTo(211f);
  }

  @Test
  void timeMajorLogitsAreViewedInPlace() {
    Matrix matrix = Torch.matrix(counting(2, 3, 2).transpose(0, 1));
    assertThat(matrix.rows()).isEqualTo(6);
    assertThat(matrix.get(1, 0)).isEqualTo(100f);
    assertThat(matrix.get(2, 1)).isEqualTo(11f);
  }

  @Test
  void paddedHeadColumnsStayInTheRowStride() {
    Matrix matrix = Torch.matrix(slice(counting(1, 3, 5), 2, 0, 4));
    assertThat(matrix.cols()).isEqualTo(4);
    assertThat(matrix.layout().rowStride()).isEqualTo(5);
    assertThat(matrix.get(2, 3)).isEqualTo(23f);
  }

  @Test
  void halfPrecisionTensorsKeepTheirType() {
    Tensor tensor = Tensors.of(new float[] {1, 2}, 1, 2);
    assertThat(Torch.matrix(tensor.to(torch.ScalarType.BFloat16)).dtype()).isEqualTo(DType.BF16);
    assertThat(Torch.matrix(tensor.to(torch.ScalarType.Half)).dtype()).isEqualTo(DType.F16);
  }

  @Test
  void anEmptyBatchIsAMatrixWithoutRows() {
    assertThat(Torch.matrix(torch.empty(0, 7)).rows()).isZero();
    assertThat(Torch.matrix(torch.empty(2, 0, 7)).rows()).isZero();
  }

  /** As in libtorch: a parameter cannot be overwritten, what was computed from it can. */
  @Test
  void aLeafThatRequiresAGradientIsNotWrittenInPlace() {
    Tensor leaf = Tensors.of(new float[] {1, 2, 3, 4, 5, 6}, 2, 3).requires_grad_(true);
    float[] before = Torch.matrix(leaf).toArray();
    PolicyLoss loss = PolicyLoss.grpo();
    TokenBatch batch =
        TokenBatch.of(Longs.copyOf(0, 1), Longs.copyOf(0, 2)).withAdvantages(Floats.copyOf(1));
    assertThatIllegalArgumentException()
        .isThrownBy(() -> loss.forwardBackwardInPlace(Torch.matrix(leaf), batch, Normalizer.none()))
        .withMessageContaining("logits: tensor [2, 3] is a leaf that requires a gradient");
    Tensor view = leaf.view(3, 2).view(2, 3);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> loss.forwardBackwardInPlace(Torch.matrix(view), batch, Normalizer.none()))
        .withMessageContaining("or a view of one");
    assertThat(Torch.matrix(leaf).toArray()).isEqualTo(before);
    Tensor computed = leaf.mul(new Scalar(1.0f));
    try (var result =
        loss.forwardBackwardInPlace(Torch.matrix(computed), batch, Normalizer.none())) {
      Torch.backward(computed, result.gradient());
    }
    assertThat(Torch.matrix(leaf.grad()).toArray())
        .isEqualTo(Torch.matrix(computed.detach()).toArray());
  }

  @Test
  void whatDoesNotFitIsRefusedByName() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.matrix(Tensors.of(new double[] {1, 2}, 1, 2)))
        .withMessageContaining("matrix: tensor [1, 2] is refused: its dtype is none of");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.matrix(Tensors.of(new float[] {1, 2})))
        .withMessageContaining("1 dimensions");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.matrix(Tensors.of(new float[6], 2, 3).t()))
        .withMessageContaining("last dimension is not contiguous");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.matrix(Tensors.of(new float[3], 1, 3).expand(4, 3)))
        .withMessageContaining("rows overlap");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.floats(Tensors.of(new float[6], 2, 3).t()))
        .withMessageContaining("gaps");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.longs(Tensors.of(new int[] {1, 2})))
        .withMessageContaining("I64 is needed");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.matrix(Tensors.of(new float[4], 2, 2).to_sparse()))
        .withMessageContaining("not dense");
  }

  @Test
  void aViewOfAClosedTensorRefusesToBeUsed() {
    Tensor tensor = Tensors.of(new float[4], 2, 2);
    Matrix matrix = Torch.matrix(tensor);
    Floats floats = Torch.floats(tensor);
    tensor.close();
    assertThatIllegalStateException().isThrownBy(matrix::address).withMessageContaining("closed");
    assertThatIllegalStateException().isThrownBy(floats::address).withMessageContaining("closed");
  }

  @Test
  void resultsForATensorAreTensorsAndOutliveTheCallersScope() {
    Matrix result;
    try (PointerScope inner = new PointerScope()) {
      Tensor logits = Tensors.of(new float[6], 2, 3);
      result = Matrix.allocate(Torch.matrix(logits).placement(), DType.F32, 2, 3);
    }
    result.set(1, 2, 5f);
    assertThat(Torch.tensor(result).get(1).get(2).item_float()).isEqualTo(5f);
    Tensor tensor = Torch.tensor(result);
    result.close();
    assertThat(tensor.isNull()).isTrue();
  }

  @Test
  void aGradientReachesTheLeaves() {
    Tensor weight = Tensors.of(new float[] {1, 2, 3, 4, 5, 6}, 2, 3).requires_grad_(true);
    Tensor hidden = Tensors.of(new float[] {1, -1}, 1, 2);
    Tensor logits = hidden.matmul(weight);
    Matrix gradient = Matrix.allocate(Torch.matrix(logits).placement(), DType.F32, 1, 3);
    gradient.set(0, 0, 2f);
    gradient.set(0, 1, 0f);
    gradient.set(0, 2, -1f);
    Torch.backward(logits, gradient);
    assertThat(Torch.floats(weight.grad()).toArray()).containsExactly(2f, 0f, -1f, -2f, 0f, 1f);
  }

  @Test
  void aGradientOfFlatRowsFitsThreeDimensionalLogits() {
    Tensor weight = counting(2, 2, 2).requires_grad_(true);
    Tensor logits = weight.mul(weight);
    Matrix gradient = Matrix.allocate(Torch.matrix(logits).placement(), DType.F32, 4, 2);
    for (int r = 0; r < 4; r++) {
      gradient.set(r, 0, r);
      gradient.set(r, 1, 0f);
    }
    Torch.backward(logits, gradient);
    assertThat(Torch.floats(weight.grad()).toArray())
        .containsExactly(0f, 0f, 20f, 0f, 400f, 0f, 660f, 0f);
  }

  @Test
  void aGradientThatDoesNotFitIsRefused() {
    Tensor logits =
        Tensors.of(new float[6], 2, 3).requires_grad_(true).mul(Tensors.of(new float[] {2}));
    Matrix view = Torch.matrix(logits);
    assertThatIllegalArgumentException()
        .isThrownBy(
            () -> Torch.backward(logits, Matrix.allocate(view.placement(), DType.BF16, 2, 3)))
        .withMessageContaining("the gradient is BF16, the tensor F32");
    assertThatIllegalArgumentException()
        .isThrownBy(
            () -> Torch.backward(logits, Matrix.allocate(view.placement(), DType.F32, 3, 2)))
        .withMessageContaining("the gradient is [3, 2], the tensor [2, 3]");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.backward(logits, Matrix.allocate(DType.F32, 2, 3)))
        .withMessageContaining("not a libtorch tensor");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Torch.backward(Tensors.of(new float[6], 2, 3), view))
        .withMessageContaining("does not require a gradient");
  }

  @Test
  void twoRootsGiveTheGradientOfTheSumOfTheirLosses() {
    Tensor weight = Tensors.of(new float[] {1, 2, 3, 4}, 2, 2).requires_grad_(true);
    Tensor hidden = weight.mul(weight);
    Tensor logits = hidden.mul(Tensors.of(new float[] {3}));
    Tensor value = hidden.sum();
    Matrix gradient = Matrix.allocate(Torch.matrix(logits).placement(), DType.F32, 2, 2);
    for (int i = 0; i < 4; i++) {
      gradient.set(i / 2, i % 2, 1f);
    }
    Torch.backward(Root.of(logits, gradient), Root.loss(value));
    // d/dw (3 w^2 + w^2) = 8 w
    assertThat(Torch.floats(weight.grad()).toArray()).containsExactly(8f, 16f, 24f, 32f);
  }

  @Test
  void aWriteFromOutsideMakesASavedValueUnusable() {
    Tensor weight = Tensors.of(new float[] {1, 2}, 1, 2).requires_grad_(true);
    Tensor logits = weight.tanh();
    Matrix view = Torch.matrix(logits);
    view.written();
    assertThatThrownBy(() -> Torch.backward(logits, view))
        .isInstanceOf(RuntimeException.class)
        .hasMessageContaining("modified by an inplace operation");
  }

  @Test
  void aSecondBackwardOverAFreedGraphIsLibtorchsError() {
    Tensor weight = Tensors.of(new float[] {1, 2}, 1, 2).requires_grad_(true);
    Tensor logits = weight.mul(weight);
    Matrix gradient = Matrix.allocate(Torch.matrix(logits).placement(), DType.F32, 1, 2);
    gradient.set(0, 0, 1f);
    gradient.set(0, 1, 1f);
    Torch.backward(logits, gradient);
    assertThatThrownBy(() -> Torch.backward(logits, gradient))
        .isInstanceOf(RuntimeException.class)
        .hasMessageContaining("second time");
  }
}
