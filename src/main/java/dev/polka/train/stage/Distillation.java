package dev.polka.train.stage;

import dev.polka.kernel.LogProbs;
import dev.polka.memory.Floats;
import dev.polka.torch.Tensors;
import dev.polka.train.RandomKey;
import dev.polka.train.config.ForwardKlWarmup;
import dev.polka.train.config.OnPolicyDistillation;
import dev.polka.train.config.OnPolicyDistillation.Divergence;
import dev.polka.train.config.Replay;
import dev.polka.train.config.Stage;
import dev.polka.train.report.Metric;
import dev.polka.train.report.StepMetrics;
import dev.polka.train.report.StepTimer;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Steps that learn from a teacher's distribution: forward KL on the teacher's rollouts, on-policy
 * distillation on the student's, and the replay of either.
 */
record Distillation(StageTraining training, Losses losses, StepTimer timer) {

  /**
   * What is learnt from the responses.
   *
   * @param teachers each response draws one of them
   * @param reference what the reward is scaled from, or null
   * @param divergence to the teacher
   * @param beta for JSD
   * @param rewardScale lambda: 1 is the teacher itself
   * @param importanceClip for SAMPLED_TOKEN
   * @param temperature of both distributions
   */
  private record Lesson(
      List<FixedModel> teachers,
      FixedModel reference,
      Divergence divergence,
      double beta,
      double rewardScale,
      double importanceClip,
      double temperature) {}

  /** Trains step {@code k} of a stage, from 0. */
  StageTraining.Step step(Stage stage, long k) {
    if (stage instanceof Replay replay) {
      // The prompts are those of the repeated stage, from its first step on; the draws are new.
      Stage repeated = training.pipeline().stage(replay.repeats());
      return step(repeated, k % repeated.steps(), k);
    }
    return step(stage, k, k);
  }

  /**
   * Step {@code k}, as {@code as} describes it, on the problems of its step {@code problemStep}.
   */
  private StageTraining.Step step(Stage as, long problemStep, long k) {
    if (as instanceof ForwardKlWarmup warmup) {
      FixedModel teacher = training.other(warmup.teacher());
      Sampler.Responses responses =
          training.generate(
              teacher.model(), warmup.name(), warmup.rollouts(), problemStep, k, timer);
      double temperature = warmup.rollouts().temperature();
      return learn(
          responses,
          new Lesson(List.of(teacher), null, Divergence.FORWARD_KL, 0, 1, 0, temperature),
          k);
    }
    OnPolicyDistillation opd = (OnPolicyDistillation) as;
    Sampler.Responses responses =
        training.generate(training.model(), opd.name(), opd.rollouts(), problemStep, k, timer);
    return learn(
        responses,
        new Lesson(
            opd.teachers().stream().map(training::other).toList(),
            opd.rewardScale() == 1 ? null : training.other(opd.reference()),
            opd.divergence(),
            opd.jsdBeta(),
            opd.rewardScale(),
            opd.importanceClip(),
            opd.rollouts().temperature()),
        k);
  }

  private StageTraining.Step learn(Sampler.Responses responses, Lesson lesson, long k) {
    List<Sequence> batch = responses.sequences();
    long tokens = StageTraining.tokens(batch);
    int[] teacherOf = new int[batch.size()];
    RandomKey key = training.key(k).with("teacher");
    for (int i = 0; i < teacherOf.length; i++) {
      teacherOf[i] = (int) key.below(i, lesson.teachers().size());
    }
    float[][] old = responses.logProbs();
    Updater.LossFunction loss =
        (part, logits) -> {
          Tensor target = target(part, lesson, teacherOf);
          if (lesson.divergence() != Divergence.SAMPLED_TOKEN) {
            return losses.divergence(
                part,
                logits,
                lesson.divergence(),
                lesson.beta(),
                lesson.temperature(),
                target,
                null,
                tokens);
          }
          try (LogProbs targets = FixedModel.logProbs(part, target, lesson.temperature());
              Floats partOld = part.perToken(old)) {
            return losses.sampledToken(
                part,
                logits,
                lesson.temperature(),
                targets.logProb(),
                partOld,
                lesson.importanceClip(),
                tokens);
          }
        };
    Updater.Update update = training.updater().update(batch, loss, timer);
    StepMetrics metrics =
        training
            .measured(k, update, tokens)
            .with(Metric.KL, update.sums().kl() / update.sums().tokens());
    return new StageTraining.Step(metrics, 2 * tokens);
  }

  /** The logits that the student moves towards. */
  private static Tensor target(MicroBatch part, Lesson lesson, int[] teacherOf) {
    Tensor target = lesson.teachers().get(0).logits(part);
    for (int t = 1; t < lesson.teachers().size(); t++) {
      target = choose(part, teacherOf, t, lesson.teachers().get(t).logits(part), target);
    }
    return lesson.reference() == null
        ? target
        : extrapolate(lesson.reference().logits(part), target, lesson.rewardScale());
  }

  /** Rows of {@code own} where the sequence's teacher is {@code which}, else of {@code before}. */
  private static Tensor choose(
      MicroBatch part, int[] teacherOf, int which, Tensor own, Tensor before) {
    try (Floats chosen = part.chosen(teacherOf, which)) {
      Tensor condition = Tensors.of(chosen.toArray()).gt(new Scalar(0.5)).reshape(part.rows(), 1);
      return torch.where(condition, own, before);
    }
  }

  /** (1 - lambda) z_ref + lambda z_teacher: the log of R^(1-lambda) T^lambda up to a constant. */
  private static Tensor extrapolate(Tensor reference, Tensor teacher, double lambda) {
    return reference.mul(new Scalar(1 - lambda)).add(teacher.mul(new Scalar(lambda)));
  }
}
