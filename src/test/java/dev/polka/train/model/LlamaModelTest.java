package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.DType;
import dev.polka.torch.Tensors;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LlamaModelTest {

  @BeforeAll
  static void fixThreads() {
    TorchThreads.use(2);
  }

  @Test
  void weightsAreAFunctionOfTheSeed() {
    ModelConfig config = ModelConfig.student(Models.VOCAB, 32);
    try (LlamaModel one = LlamaModel.create(config, 4);
        LlamaModel same = LlamaModel.create(config, 4);
        LlamaModel other = LlamaModel.create(config, 5)) {
      String name = "model.layers.1.mlp.up_proj.weight";
      assertThat(one.parameters().values().equal(same.parameters().values())).isTrue();
      assertThat(one.parameters().get(name).equal(other.parameters().get(name))).isFalse();
    }
  }

  @Test
  void initialWeightsHaveTheStatedDeviation() {
    try (LlamaModel model = Models.teacher(DType.F32)) {
      double residual = Math.sqrt(1.0 / 4 / 176);

      assertThat(deviation(model, "model.layers.0.self_attn.q_proj.weight"))
          .isCloseTo(Math.sqrt(1.0 / 64), within(0.004));
      assertThat(deviation(model, "model.layers.1.mlp.down_proj.weight"))
          .isCloseTo(residual, within(0.001));
      assertThat(Models.values(model.parameters().get("model.norm.weight"))).containsOnly(1f);
    }
  }

  private static double deviation(LlamaModel model, String name) {
    double sum = 0;
    float[] values = Models.values(model.parameters().get(name));
    for (float value : values) {
      sum += (double) value * value;
    }
    return Math.sqrt(sum / values.length);
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16"})
  void paddingAtTheRightChangesNothingBeforeIt(DType dtype) {
    try (LlamaModel model = Models.teacher(dtype);
        PointerScope scope = new PointerScope()) {
      Tensor alone = model.forward(Models.tokens(new int[] {3, 1, 4, 1, 5}));
      Tensor padded =
          model.forward(
              Models.tokens(
                  new int[] {3, 1, 4, 1, 5, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9},
                  new int[] {2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9, 0, 4, 5, 2, 3, 5, 3}));

      assertThat(Models.values(padded.narrow(0, 0, 1).narrow(1, 0, 5)))
          .containsExactly(Models.values(alone), within(dtype == DType.F32 ? 1e-5f : 2e-2f));
    }
  }

  @Test
  void laterTokensDoNotReachEarlierPositions() {
    try (LlamaModel model = Models.teacher(DType.F32);
        PointerScope scope = new PointerScope()) {
      Tensor one = model.forward(Models.tokens(new int[] {3, 1, 4, 1, 5}));
      Tensor other = model.forward(Models.tokens(new int[] {3, 1, 4, 2, 5}));

      assertThat(one.narrow(1, 0, 3).equal(other.narrow(1, 0, 3))).isTrue();
      assertThat(one.narrow(1, 3, 1).equal(other.narrow(1, 3, 1))).isFalse();
    }
  }

  @Test
  void bf16HasBf16ActivationsOverF32Leaves() {
    try (LlamaModel model = Models.teacher(DType.BF16);
        PointerScope scope = new PointerScope()) {
      Tensor hidden = model.forward(Models.tokens(new int[] {3, 1, 4}));
      Tensor logits = model.head(hidden.view(3, 64));
      backward(logits);

      assertThat(hidden.scalar_type().intern()).isEqualTo(ScalarType.BFloat16);
      assertThat(logits.scalar_type().intern()).isEqualTo(ScalarType.BFloat16);
      Tensor query = model.parameters().get("model.layers.0.self_attn.q_proj.weight");
      assertThat(query.scalar_type().intern()).isEqualTo(ScalarType.Float);
      assertThat(query.grad().scalar_type().intern()).isEqualTo(ScalarType.Float);
      assertThat(query.grad().abs().sum().item_float()).isPositive();
    }
  }

  @Test
  void gradientsAreTheSlopesOfTheForwardPass() {
    try (LlamaModel model = Models.teacher(DType.F32)) {
      float step = 1e-2f;
      try (PointerScope scope = new PointerScope()) {
        backward(logits(model));
      }
      for (String name : model.parameters().named().keySet()) {
        try (PointerScope scope = new PointerScope();
            NoGradGuard guard = new NoGradGuard()) {
          Tensor leaf = model.parameters().get(name);
          FloatPointer value = leaf.detach().data_ptr_float();
          float before = value.get(7);
          value.put(7, before + step);
          double above = objective(logits(model));
          value.put(7, before - step);
          double below = objective(logits(model));
          value.put(7, before);

          double slope = (above - below) / (2 * step);
          assertThat((double) leaf.grad().data_ptr_float().get(7))
              .as(name)
              .isCloseTo(slope, within(0.01 * Math.max(1, Math.abs(slope))));
        }
      }
    }
  }

  @Test
  void gradientsAddUpUntilTheyAreZeroed() {
    try (LlamaModel model = Models.student(DType.F32);
        PointerScope scope = new PointerScope()) {
      Tensor gradients = model.parameters().gradients();
      backward(logits(model));
      Tensor once = gradients.clone();
      backward(logits(model));

      assertThat(gradients.equal(once.mul(new Scalar(2.0)))).isTrue();
      model.parameters().zeroGradients();
      assertThat(gradients.abs().sum().item_float()).isZero();
    }
  }

  @Test
  void aCopyHasValuesOfItsOwn() {
    try (LlamaModel model = Models.student(DType.F32);
        LlamaModel copy = model.copy();
        NoGradGuard guard = new NoGradGuard();
        PointerScope scope = new PointerScope()) {
      assertThat(copy.parameters().values().equal(model.parameters().values())).isTrue();
      model.parameters().values().mul_(new Scalar(2.0));
      assertThat(copy.parameters().values().equal(model.parameters().values())).isFalse();
    }
  }

  @Test
  void sequencesBeyondTheContextAreRefused() {
    try (LlamaModel model = LlamaModel.create(ModelConfig.student(Models.VOCAB, 4), 1);
        PointerScope scope = new PointerScope()) {
      assertThatThrownBy(() -> model.forward(Models.tokens(new int[] {1, 2, 3, 4, 5})))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("tokens have length 5, must be in [1, contextLength = 4]");
    }
  }

  private static Tensor logits(LlamaModel model) {
    Tensor hidden = model.forward(Models.tokens(new int[] {3, 1, 4, 1}, new int[] {5, 9, 2, 6}));
    return model.head(hidden.view(8, model.config().hiddenSize()));
  }

  /** A weighted sum of all logits, in f64. */
  private static double objective(Tensor logits) {
    float[] values = Models.values(logits);
    double sum = 0;
    for (int i = 0; i < values.length; i++) {
      sum += values[i] * Math.sin(i);
    }
    return sum;
  }

  private static void backward(Tensor logits) {
    float[] slopes = new float[(int) logits.numel()];
    for (int i = 0; i < slopes.length; i++) {
      slopes[i] = (float) Math.sin(i);
    }
    Tensor upstream = Tensors.of(slopes, logits.shape()).to(logits.scalar_type());
    logits.backward(upstream, new BoolOptional(), false, new TensorArrayRefOptional());
  }
}
