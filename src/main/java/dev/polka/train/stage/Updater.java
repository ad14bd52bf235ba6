package dev.polka.train.stage;

import dev.polka.train.TrainingFailure;
import dev.polka.train.config.BatchingSettings;
import dev.polka.train.config.OptimizerSettings;
import dev.polka.train.model.AdamW;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.report.Phase;
import dev.polka.train.report.StepTimer;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/** Updates a model: gradients over micro-batches, clipping, AdamW. */
final class Updater implements AutoCloseable {

  /** The loss of a micro-batch; adds its gradient into the parameters. */
  interface LossFunction {
    LossSums apply(MicroBatch part, Tensor logits);
  }

  /**
   * What an update did.
   *
   * @param sums what the loss functions found
   * @param gradientNorm before clipping
   * @param learningRate of the update
   * @param bodyTokens tokens of the body, padding included
   * @param paddedTokens those of them that were padding
   */
  record Update(
      LossSums sums,
      double gradientNorm,
      double learningRate,
      long bodyTokens,
      long paddedTokens) {}

  private final LlamaModel model;
  private final OptimizerSettings settings;
  private final BatchingSettings batching;
  private final long updates;
  private final AdamW optimizer;

  /** For a stage of {@code updates} updates in all. */
  Updater(LlamaModel model, OptimizerSettings settings, BatchingSettings batching, long updates) {
    this.model = model;
    this.settings = settings;
    this.batching = batching;
    this.updates = updates;
    this.optimizer =
        new AdamW(
            model.parameters(),
            new AdamW.Options(
                settings.beta1(), settings.beta2(), settings.epsilon(), settings.weightDecay()));
  }

  AdamW optimizer() {
    return optimizer;
  }

  /**
   * One update on a batch. All micro-batches share the normalizer that {@code loss} was given, so
   * their gradients add up to that of the batch.
   *
   * @throws TrainingFailure if the loss or the gradient is not finite; the weights are unchanged
   */
  Update update(List<Sequence> batch, LossFunction loss, StepTimer timer) {
    model.parameters().zeroGradients();
    LossSums sums = LossSums.NONE;
    long body = 0;
    long padded = 0;
    for (MicroBatch part : MicroBatch.cut(batch, batching.microBatchTokens())) {
      try (part;
          PointerScope scope = new PointerScope()) {
        body += part.layout().bodyTokens();
        padded += part.layout().paddedTokens();
        LossSums found =
            timer.time(
                Phase.FORWARD_BACKWARD,
                () -> {
                  Tensor hidden = model.forward(part.layout().tokens());
                  Tensor logits = model.head(part.layout().gather(hidden));
                  LossSums one = loss.apply(part, logits);
                  if (!Double.isFinite(one.loss())) {
                    throw NonFiniteLoss.of(part, batch, logits, one.loss());
                  }
                  return one;
                });
        sums = sums.plus(found);
      }
    }
    double rate = settings.learningRateAt(optimizer.steps(), updates);
    double norm =
        timer.time(
            Phase.OPTIMIZER,
            () -> {
              double before = clip();
              optimizer.step(rate);
              return before;
            });
    return new Update(sums, norm, rate, body, padded);
  }

  private double clip() {
    try {
      return optimizer.clipGradients(settings.gradientClip());
    } catch (ArithmeticException e) {
      throw new TrainingFailure(e.getMessage());
    }
  }

  @Override
  public void close() {
    optimizer.close();
  }
}
