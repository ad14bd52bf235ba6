package dev.polka.train.stage;

import dev.polka.kernel.Normalizer;
import dev.polka.memory.Floats;
import dev.polka.torch.Tensors;
import dev.polka.train.config.OnPolicyDistillation;
import dev.polka.train.config.PolicyObjective;
import dev.polka.train.report.Phase;
import dev.polka.train.report.StepTimer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The same losses written in libtorch's operations, with its autograd: what {@code --loss libtorch}
 * compares numbers and times with. Without the guards of Polka's kernels: log-ratios are not
 * bounded.
 */
record LibtorchLosses(StepTimer timer) implements Losses {

  @Override
  public LossSums crossEntropy(MicroBatch batch, Tensor logits, long tokens) {
    Tensor[] parts =
        timer.time(
            Phase.LOSS,
            () -> {
              Tensor all = logSoftmax(logits, 1);
              Tensor loss = gather(batch, all).sum().neg().div(scalar(tokens));
              return new Tensor[] {loss, entropy(all).sum()};
            });
    parts[0].backward();
    return new LossSums(parts[0].item_double(), 0, parts[1].item_double(), 0, batch.rows());
  }

  @Override
  public LossSums policy(MicroBatch batch, Tensor logits, PolicyTerms terms) {
    PolicyObjective o = terms.objective();
    Tensor weights = tokenWeights(batch, terms.normalizer());
    Tensor[] parts =
        timer.time(
            Phase.LOSS,
            () -> {
              Tensor all = logSoftmax(logits, terms.temperature());
              Tensor lp = gather(batch, all);
              Tensor old = terms.old() == null ? lp.detach() : of(terms.old());
              Tensor advantage = spread(batch, terms.advantages());
              Tensor ratio = lp.sub(old).exp();
              Tensor plain = advantage.neg().mul(ratio);
              Tensor clipped = advantage.neg().mul(clamp(ratio, 1 - o.clipLow(), 1 + o.clipHigh()));
              Tensor token = torch.maximum(plain, clipped);
              if (o.dualClip() > 0) {
                Tensor held = torch.minimum(token, advantage.neg().mul(scalar(o.dualClip())));
                token = torch.where(advantage.lt(new Scalar(0)), held, token);
              }
              Tensor entropy = entropy(all);
              Tensor kl = terms.reference() == null ? null : kl(o, of(terms.reference()).sub(lp));
              if (kl != null) {
                token = token.add(kl.mul(scalar(o.klCoefficient())));
              }
              token = token.sub(entropy.mul(scalar(o.entropyCoefficient())));
              return new Tensor[] {
                token.mul(weights).sum(),
                kl == null ? old.sub(lp).sum() : kl.sum(),
                entropy.sum(),
                clipped.gt(plain).sum()
              };
            });
    parts[0].backward();
    return new LossSums(
        parts[0].item_double(),
        parts[1].item_double(),
        parts[2].item_double(),
        parts[3].item_double(),
        batch.rows());
  }

  private static Tensor kl(PolicyObjective o, Tensor referenceMinusNow) {
    Tensor d = referenceMinusNow;
    Tensor k2 = d.mul(d).div(scalar(2));
    Tensor value =
        switch (o.klEstimator()) {
          case K1 -> d.neg();
          case K2 -> k2;
          case K3 -> d.expm1().sub(d);
        };
    // The derivative is k2's, whichever the estimator: it alone is unbiased for the reverse KL.
    return value.sub(k2).detach().add(k2);
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
    Tensor[] parts =
        timer.time(
            Phase.LOSS,
            () -> {
              Tensor student = logSoftmax(logits, temperature);
              Tensor teacher = logSoftmax(teacherLogits, temperature);
              Tensor values =
                  switch (kind) {
                    case FORWARD_KL -> kl(teacher, student);
                    case REVERSE_KL -> kl(student, teacher);
                    case JSD -> {
                      Tensor mixture =
                          torch.logaddexp(
                              teacher.add(scalar(Math.log(beta))),
                              student.add(scalar(Math.log1p(-beta))));
                      yield kl(teacher, mixture)
                          .mul(scalar(beta))
                          .add(kl(student, mixture).mul(scalar(1 - beta)));
                    }
                    case SAMPLED_TOKEN -> throw new IllegalArgumentException("kind: " + kind);
                  };
              if (weight != null) {
                values = values.mul(of(weight));
              }
              return new Tensor[] {values.sum().div(scalar(tokens)), entropy(student).sum()};
            });
    parts[0].backward();
    double loss = parts[0].item_double();
    return new LossSums(loss, loss * tokens, parts[1].item_double(), 0, batch.rows());
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
    Tensor[] parts =
        timer.time(
            Phase.LOSS,
            () -> {
              Tensor all = logSoftmax(logits, temperature);
              Tensor lp = gather(batch, all);
              Tensor now = lp.detach();
              Tensor reward = of(target).sub(now);
              Tensor ratio = clamp(now.sub(of(old)).exp(), 0, importanceClip);
              Tensor loss = lp.sub(now).exp().mul(reward).mul(ratio).sum().neg();
              return new Tensor[] {
                loss.div(scalar(tokens)), reward.sum().neg(), entropy(all).sum()
              };
            });
    parts[0].backward();
    return new LossSums(
        parts[0].item_double(), parts[1].item_double(), parts[2].item_double(), 0, batch.rows());
  }

  /** KL(p || q) per row, from log-probs. */
  private static Tensor kl(Tensor p, Tensor q) {
    return p.exp().mul(p.sub(q)).sum(1);
  }

  private static Tensor logSoftmax(Tensor logits, double temperature) {
    return torch.log_softmax(logits.to(ScalarType.Float).div(scalar(temperature)), 1);
  }

  private static Tensor gather(MicroBatch batch, Tensor all) {
    return all.gather(1, batch.targetTensor()).reshape(batch.rows());
  }

  private static Tensor entropy(Tensor all) {
    return all.exp().mul(all).sum(1).neg();
  }

  private static Tensor clamp(Tensor x, double low, double high) {
    return torch.clamp(
        x, new ScalarOptional(new Scalar(low)), new ScalarOptional(new Scalar(high)));
  }

  private static Tensor of(Floats values) {
    return Tensors.of(values.toArray());
  }

  private static Tensor scalar(double value) {
    return Tensors.of(new float[] {(float) value});
  }

  private static Tensor spread(MicroBatch batch, Floats perSequence) {
    float[] values = new float[batch.rows()];
    int row = 0;
    for (int s = 0; s < batch.size(); s++) {
      for (int i = 0; i < batch.tokens(s); i++) {
        values[row++] = perSequence.get(s);
      }
    }
    return Tensors.of(values);
  }

  /** 1 / divisor, and per sequence 1 / its tokens where the normalizer says so. */
  private static Tensor tokenWeights(MicroBatch batch, Normalizer normalizer) {
    try (Floats weights = Floats.allocate(batch.size())) {
      for (int s = 0; s < batch.size(); s++) {
        double own = normalizer.tokenCounts() == null ? 1 : normalizer.tokenCounts().get(s);
        weights.set(s, (float) (1 / normalizer.divisor() / own));
      }
      return spread(batch, weights);
    }
  }
}
