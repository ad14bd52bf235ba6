package dev.polka.train.model;

import dev.polka.memory.DType;
import dev.polka.torch.Tensors;
import dev.polka.train.RandomKey;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Small models, requests and plain f64 arithmetic that the tests share. */
final class Models {
  static final int VOCAB = 13;

  private Models() {}

  static LlamaModel teacher(DType dtype) {
    return LlamaModel.create(ModelConfig.teacher(VOCAB, 64).withDtype(dtype), 11);
  }

  static LlamaModel student(DType dtype) {
    return LlamaModel.create(ModelConfig.student(VOCAB, 64).withDtype(dtype), 12);
  }

  /** Requests whose prompts have 1 to 12 tokens. */
  static List<GenerationRequest> requests(int count) {
    RandomKey random = RandomKey.ofSeed(5).with("prompts");
    List<GenerationRequest> requests = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int[] prompt = new int[1 + (int) random.with(i).below(0, 12)];
      for (int t = 0; t < prompt.length; t++) {
        prompt[t] = (int) random.with(i).below(1 + t, VOCAB);
      }
      requests.add(new GenerationRequest(prompt, RandomKey.ofSeed(6).with("rollout").with(i)));
    }
    return requests;
  }

  static Tensor tokens(int[]... sequences) {
    long[] ids = new long[sequences.length * sequences[0].length];
    for (int b = 0; b < sequences.length; b++) {
      for (int t = 0; t < sequences[b].length; t++) {
        ids[b * sequences[0].length + t] = sequences[b][t];
      }
    }
    return Tensors.of(ids, sequences.length, sequences[0].length);
  }

  static float[] values(Tensor tensor) {
    try (PointerScope scope = new PointerScope()) {
      Tensor dense = tensor.detach().to(ScalarType.Float).contiguous();
      float[] values = new float[(int) dense.numel()];
      FloatPointer data = dense.data_ptr_float();
      data.get(values);
      return values;
    }
  }

  /** Log-probabilities of response tokens as the training forward pass has them, packed. */
  static double[] trainingLogProbs(LlamaModel model, ResponseBatch batch) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      Tensor logits = model.head(batch.gather(model.forward(batch.tokens())));
      return logProbs(values(logits), batch.targets());
    }
  }

  static double[] logProbs(float[] logits, long[] targets) {
    double[] logProbs = new double[targets.length];
    int vocab = targets.length == 0 ? 1 : logits.length / targets.length;
    for (int row = 0; row < targets.length; row++) {
      double sum = 0;
      for (int v = 0; v < vocab; v++) {
        sum += Math.exp(logits[row * vocab + v]);
      }
      logProbs[row] = logits[row * vocab + (int) targets[row]] - Math.log(sum);
    }
    return logProbs;
  }

  static double[] recordedLogProbs(List<Rollout> rollouts) {
    return rollouts.stream()
        .flatMapToDouble(
            rollout ->
                IntStream.range(0, rollout.logProbs().length)
                    .mapToDouble(t -> rollout.logProbs()[t]))
        .toArray();
  }
}
