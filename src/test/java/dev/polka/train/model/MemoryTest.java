package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.DType;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class MemoryTest {
  private static final long MEGABYTE = 1 << 20;

  @BeforeAll
  static void fixThreads() {
    TorchThreads.use(1); // small tensors: more threads would only wait for each other
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16"})
  void fiveHundredStepsLeaveNothingBehind(DType dtype) {
    List<GenerationRequest> requests = Models.requests(8);
    Generator generator = Generator.sampling(1, 6).withEosTokens(2);
    try (LlamaModel model = Models.student(dtype);
        AdamW optimizer = new AdamW(model.parameters(), new AdamW.Options(0.9, 0.95, 1e-8, 0.1))) {
      step(model, optimizer, generator, requests, 50);
      long objects = Pointer.totalCount();
      long resident = Pointer.physicalBytes();

      step(model, optimizer, generator, requests, 500);

      assertThat(Pointer.totalCount()).isLessThanOrEqualTo(objects);
      // A leaked step would be half a megabyte of activations and more, 250 MB in all.
      assertThat(Pointer.physicalBytes() - resident).isLessThan(100 * MEGABYTE);
    }
  }

  private static void step(
      LlamaModel model,
      AdamW optimizer,
      Generator generator,
      List<GenerationRequest> requests,
      int steps) {
    for (int i = 0; i < steps; i++) {
      ResponseBatch batch = ResponseBatch.of(generator.generate(model, requests));
      model.parameters().zeroGradients();
      try (PointerScope scope = new PointerScope()) {
        Tensor logits = model.head(batch.gather(model.forward(batch.tokens())));
        Tensor upstream = torch.ones_like(logits);
        logits.backward(upstream, new BoolOptional(), false, new TensorArrayRefOptional());
      }
      optimizer.clipGradients(1);
      optimizer.step(1e-4);
    }
  }
}
