package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.DType;
import dev.polka.train.InputException;
import dev.polka.train.RandomKey;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AdamWTest {
  private static final String MATRIX = "model.layers.0.mlp.up_proj.weight";
  private static final String NORM = "model.layers.0.input_layernorm.weight";
  private static final AdamW.Options OPTIONS = new AdamW.Options(0.8, 0.9, 1e-6, 0.1);

  @TempDir Path directory;

  @BeforeAll
  static void fixThreads() {
    TorchThreads.use(2);
  }

  @Test
  void stepsAreThoseOfThePaper() {
    try (LlamaModel model = Models.student(DType.F32);
        AdamW optimizer = new AdamW(model.parameters(), OPTIONS)) {
      double matrix = value(model, MATRIX);
      double norm = value(model, NORM);
      double first = 0;
      double second = 0;
      double matrixFirst = 0;
      double matrixSecond = 0;
      for (int t = 1; t <= 20; t++) {
        fillGradients(model, t);
        double rate = 0.01 * t;
        double g = gradient(model, NORM);
        first = 0.8 * first + 0.2 * g;
        second = 0.9 * second + 0.1 * g * g;
        norm -= rate * moved(first, second, t);
        g = gradient(model, MATRIX);
        matrixFirst = 0.8 * matrixFirst + 0.2 * g;
        matrixSecond = 0.9 * matrixSecond + 0.1 * g * g;
        matrix = matrix * (1 - rate * 0.1) - rate * moved(matrixFirst, matrixSecond, t);
        optimizer.step(rate);

        assertThat(value(model, NORM)).isCloseTo(norm, within(5e-6));
        assertThat(value(model, MATRIX)).isCloseTo(matrix, within(5e-6));
      }
      assertThat(optimizer.steps()).isEqualTo(20);
    }
  }

  private static double moved(double first, double second, int t) {
    double corrected = Math.sqrt(second / (1 - Math.pow(0.9, t)));
    return first / (1 - Math.pow(0.8, t)) / (corrected + 1e-6);
  }

  @Test
  void aRestoredStateGoesOnBitForBit() {
    Path file = directory.resolve("optimizer.safetensors");
    try (LlamaModel model = Models.student(DType.F32);
        LlamaModel resumed = Models.student(DType.F32);
        AdamW optimizer = new AdamW(model.parameters(), OPTIONS);
        AdamW restored = new AdamW(resumed.parameters(), OPTIONS)) {
      for (int t = 0; t < 3; t++) {
        fillGradients(model, t);
        optimizer.step(0.01);
      }
      optimizer.save(file);
      resumed.parameters().copyFrom(model.parameters());
      restored.load(file);
      fillGradients(model, 9);
      fillGradients(resumed, 9);
      optimizer.step(0.01);
      restored.step(0.01);

      assertThat(restored.steps()).isEqualTo(4);
      assertThat(resumed.parameters().values().equal(model.parameters().values())).isTrue();
    }
  }

  @Test
  void aStateOfAnotherModelIsRefused() {
    Path file = directory.resolve("optimizer.safetensors");
    try (LlamaModel student = Models.student(DType.F32);
        LlamaModel teacher = Models.teacher(DType.F32);
        AdamW small = new AdamW(student.parameters(), OPTIONS);
        AdamW large = new AdamW(teacher.parameters(), OPTIONS)) {
      small.save(file);

      assertThatThrownBy(() -> large.load(file))
          .isInstanceOf(InputException.class)
          .hasMessage(
              file
                  + ": tensor exp_avg.model.embed_tokens.weight has the shape [13, 48],"
                  + " must have [13, 64]");
    }
  }

  @Test
  void aStateWithoutAStepIsRefused() {
    Path file = directory.resolve("optimizer.safetensors");
    try (LlamaModel model = Models.student(DType.F32);
        AdamW optimizer = new AdamW(model.parameters(), OPTIONS);
        PointerScope scope = new PointerScope()) {
      optimizer.save(file);
      try (SafetensorsFile stored = SafetensorsFile.open(file)) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        stored.names().forEach(name -> tensors.put(name, stored.read(name)));
        Safetensors.write(file, tensors, Map.of());
      }

      assertThatThrownBy(() -> optimizer.load(file))
          .isInstanceOf(InputException.class)
          .hasMessage(file + ": its metadata has the step null, not a number");
    }
  }

  @Test
  void clippingScalesToTheLimitAndReturnsTheNorm() {
    try (LlamaModel model = Models.student(DType.F32);
        AdamW optimizer = new AdamW(model.parameters(), OPTIONS)) {
      fillGradients(model, 1);
      double square = 0;
      for (float g : Models.values(model.parameters().gradients())) {
        square += (double) g * g;
      }
      double before = gradient(model, MATRIX);

      double norm = optimizer.clipGradients(2);

      assertThat(norm).isCloseTo(Math.sqrt(square), within(1e-9 * norm));
      assertThat(gradient(model, MATRIX)).isCloseTo(before * 2 / norm, within(1e-9));
      assertThat(optimizer.clipGradients(Double.POSITIVE_INFINITY)).isCloseTo(2, within(1e-5));
    }
  }

  @Test
  void gradientsBelowTheLimitAreLeftAlone() {
    try (LlamaModel model = Models.student(DType.F32);
        AdamW optimizer = new AdamW(model.parameters(), OPTIONS);
        PointerScope scope = new PointerScope()) {
      fillGradients(model, 1);
      Tensor before = model.parameters().gradients().clone();

      optimizer.clipGradients(1e6);

      assertThat(model.parameters().gradients().equal(before)).isTrue();
    }
  }

  @Test
  void aGradientThatIsNotANumberIsNamed() {
    try (LlamaModel model = Models.student(DType.F32);
        AdamW optimizer = new AdamW(model.parameters(), OPTIONS);
        PointerScope scope = new PointerScope()) {
      model.parameters().get(NORM).grad().data_ptr_float().put(3, Float.NaN);

      assertThatThrownBy(() -> optimizer.clipGradients(1))
          .isInstanceOf(ArithmeticException.class)
          .hasMessage("the norm of the gradients is NaN for [" + NORM + "]");
    }
  }

  @Test
  void constantsOutsideTheirRangeAreRefused() {
    assertThatThrownBy(() -> new AdamW.Options(1, 0.9, 1e-8, 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("beta1 is 1.0, must be in [0, 1)");
  }

  private static void fillGradients(LlamaModel model, int t) {
    RandomKey key = RandomKey.ofSeed(t);
    Tensor gradients = model.parameters().gradients();
    FloatPointer data = gradients.data_ptr_float();
    float[] values = new float[(int) gradients.numel()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (key.uniform(i) - 0.5);
    }
    data.put(values);
    // The gaps between parameters hold no gradient.
    try (PointerScope scope = new PointerScope()) {
      Tensor kept = torch.zeros(gradients.numel());
      model
          .parameters()
          .views(kept)
          .forEach((name, view) -> view.copy_(model.parameters().get(name).grad()));
      gradients.copy_(kept);
    }
  }

  private static double value(LlamaModel model, String name) {
    return Models.values(model.parameters().get(name))[5];
  }

  private static double gradient(LlamaModel model, String name) {
    try (PointerScope scope = new PointerScope()) {
      return Models.values(model.parameters().get(name).grad())[5];
    }
  }
}
