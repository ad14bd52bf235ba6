package dev.polka.train.stage;

import dev.polka.kernel.Divergence;
import dev.polka.kernel.DivergenceResult;
import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbGradients;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.PolicyLossMetrics;
import dev.polka.kernel.Rows;
import dev.polka.kernel.TokenBatch;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import dev.polka.torch.Torch;
import dev.polka.train.config.OnPolicyDistillation;
import dev.polka.train.config.PolicyObjective;
import dev.polka.train.report.Phase;
import dev.polka.train.report.StepTimer;
import org.bytedeco.pytorch.Tensor;

/** The losses by Polka's kernels: one call from logits to loss and gradient. */
record PolkaLosses(StepTimer timer) implements Losses {

  @Override
  public LossSums crossEntropy(MicroBatch batch, Tensor logits, long tokens) {
    LogProb operation = LogProb.plain().withEntropy();
    Matrix view = Torch.matrix(logits);
    Floats upstream = constant(batch.rows(), -1f / tokens);
    LogProbs values = operation.allocate(view);
    Matrix gradient =
        timer.time(
            Phase.LOSS,
            () -> {
              operation.forward(view, batch.targets(), values);
              return operation.backward(
                  view, batch.targets(), values, LogProbGradients.of(upstream));
            });
    try (values;
        upstream;
        gradient) {
      Torch.backward(logits, gradient);
      double sum = sum(values.logProb());
      return new LossSums(-sum / tokens, 0, sum(values.entropy()), 0, batch.rows());
    }
  }

  @Override
  public LossSums policy(MicroBatch batch, Tensor logits, PolicyTerms terms) {
    TokenBatch tokens = batch.batch().withSequenceAdvantages(terms.advantages());
    if (terms.old() != null) {
      tokens = tokens.withOld(terms.old());
    }
    if (terms.reference() != null) {
      tokens = tokens.withReference(terms.reference());
    }
    PolicyLoss loss = lossOf(terms.objective(), terms.temperature());
    return run(loss, batch, logits, tokens, terms.normalizer(), terms.reference() != null);
  }

  private static PolicyLoss lossOf(PolicyObjective objective, double temperature) {
    PolicyLoss loss =
        PolicyLoss.ppo()
            .withTemperature((float) temperature)
            .withClip((float) objective.clipLow(), (float) objective.clipHigh())
            .withEntropyBonus(objective.entropyCoefficient());
    if (objective.dualClip() > 0) {
      loss = loss.withDualClip((float) objective.dualClip());
    }
    if (objective.klCoefficient() > 0) {
      KlEstimator estimator =
          switch (objective.klEstimator()) {
            case K1 -> KlEstimator.K1;
            case K2 -> KlEstimator.K2;
            case K3 -> KlEstimator.K3;
          };
      loss = loss.withKl(estimator, objective.klCoefficient());
    }
    return loss;
  }

  private LossSums run(
      PolicyLoss loss,
      MicroBatch batch,
      Tensor logits,
      TokenBatch tokens,
      Normalizer normalizer,
      boolean reference) {
    Matrix view = Torch.matrix(logits);
    try (LossResult result =
        timer.time(Phase.LOSS, () -> loss.forwardBackward(view, tokens, normalizer))) {
      Torch.backward(logits, result.gradient());
      PolicyLossMetrics found = result.metrics();
      double kl = reference ? found.klSum() : found.approxKlSum();
      return new LossSums(found.loss(), kl, found.entropySum(), found.clippedSum(), batch.rows());
    }
  }

  @Override
  public LossSums divergence(
      MicroBatch batch,
      Tensor logits,
      OnPolicyDistillation.Divergence kind,
      double beta,
      double temperature,
      Tensor teacherLogits,
      Floats weight,
      long tokens) {
    Divergence operation =
        switch (kind) {
          case FORWARD_KL -> Divergence.forwardKl();
          case REVERSE_KL -> Divergence.reverseKl();
          case JSD -> Divergence.jsd((float) beta);
          case SAMPLED_TOKEN -> throw new IllegalArgumentException("kind: " + kind);
        };
    Divergence tempered = operation.withTemperature((float) temperature);
    Rows rows = weight == null ? Rows.all() : Rows.all().withWeight(weight);
    Matrix student = Torch.matrix(logits);
    Matrix teacher = Torch.matrix(teacherLogits);
    try (DivergenceResult result =
        timer.time(
            Phase.LOSS,
            () -> tempered.forwardBackward(student, teacher, rows, Normalizer.tokens(tokens)))) {
      Torch.backward(logits, result.gradient());
      return new LossSums(
          result.loss(), result.loss() * tokens, sum(result.studentEntropy()), 0, batch.rows());
    }
  }

  @Override
  public LossSums sampledToken(
      MicroBatch batch,
      Tensor logits,
      double temperature,
      Floats target,
      Floats old,
      double importanceClip,
      long tokens) {
    LogProb operation = LogProb.atTemperature((float) temperature);
    Matrix view = Torch.matrix(logits);
    try (LogProbs now = timer.time(Phase.LOSS, () -> operation.forward(view, batch.targets()));
        Floats rewards = Floats.allocate(batch.rows());
        Floats weights = Floats.allocate(batch.rows())) {
      double kl = 0;
      for (long r = 0; r < batch.rows(); r++) {
        double logProb = now.logProb().get(r);
        rewards.set(r, (float) (target.get(r) - logProb));
        weights.set(r, (float) Math.min(Math.exp(logProb - old.get(r)), importanceClip));
        kl += logProb - target.get(r);
      }
      TokenBatch withRewards = batch.batch().withTokenAdvantages(rewards).withWeights(weights);
      PolicyLoss loss = PolicyLoss.ppo().withoutClip().withTemperature((float) temperature);
      LossSums sums = run(loss, batch, logits, withRewards, Normalizer.tokens(tokens), false);
      return new LossSums(sums.loss(), kl, sums.entropy(), 0, sums.tokens());
    }
  }

  private static Floats constant(int size, float value) {
    Floats values = Floats.allocate(size);
    for (long i = 0; i < size; i++) {
      values.set(i, value);
    }
    return values;
  }

  private static double sum(Floats values) {
    double sum = 0;
    for (float value : values.toArray()) {
      sum += value;
    }
    return sum;
  }
}
