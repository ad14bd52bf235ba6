package dev.polka.train.stage;

import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbs;
import dev.polka.torch.Torch;
import dev.polka.train.model.LlamaModel;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * A teacher or a reference: a model that a stage reads and does not change.
 *
 * @param model the model, which belongs to the stage
 */
record FixedModel(LlamaModel model) {

  /** Logits of a micro-batch's response rows, without a graph. */
  Tensor logits(MicroBatch part) {
    try (NoGradGuard guard = new NoGradGuard()) {
      Tensor hidden = model.forward(part.layout().tokens());
      return model.head(part.layout().gather(hidden));
    }
  }

  /** Log-probs of a micro-batch's response tokens. */
  LogProbs logProbs(MicroBatch part, double temperature) {
    return logProbs(part, logits(part), temperature);
  }

  /** Log-probs of a micro-batch's response tokens from given logits. */
  static LogProbs logProbs(MicroBatch part, Tensor logits, double temperature) {
    return LogProb.atTemperature((float) temperature).forward(Torch.matrix(logits), part.targets());
  }
}
