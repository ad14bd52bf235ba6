package dev.polka.train.stage;

import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.Normalizer;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.torch.Tensors;
import dev.polka.torch.Torch;
import dev.polka.train.RandomKey;
import dev.polka.train.config.ForwardKlWarmup;
import dev.polka.train.config.Grpo;
import dev.polka.train.config.OnPolicyDistillation;
import dev.polka.train.config.PolicyObjective;
import dev.polka.train.config.Replay;
import dev.polka.train.config.RolloutSettings;
import dev.polka.train.config.Stage;
import dev.polka.train.config.SupervisedWarmStart;
import dev.polka.train.data.DigitNoise;
import dev.polka.train.data.Problem;
import dev.polka.train.data.Split;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.report.Metric;
import dev.polka.train.report.Phase;
import dev.polka.train.report.StepMetrics;
import dev.polka.train.report.StepTimer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * One stage being trained for one seed. Step k is a function of the weights before it, the seed,
 * the stage and k alone.
 */
final class StageTraining implements AutoCloseable {
  private final Workshop workshop;
  private final long seed;
  private final Stage stage;
  private final Function<StepTimer, Losses> lossesOf;
  private final LlamaModel model;
  private final Updater updater;
  private final Map<String, LlamaModel> others = new LinkedHashMap<>();

  /** What a step did. */
  record Step(StepMetrics metrics, long tokens) {}

  StageTraining(Workshop workshop, long seed, Stage stage, Function<StepTimer, Losses> lossesOf)
      throws IOException {
    this.workshop = workshop;
    this.seed = seed;
    this.stage = stage;
    this.lossesOf = lossesOf;
    this.model = workshop.model(seed, stage.from());
    this.updater =
        new Updater(model, stage.optimizer(), workshop.pipeline().batching(), updates(stage));
    for (String other : consulted(stage)) {
      others.put(other, workshop.model(seed, other));
    }
  }

  private static long updates(Stage stage) {
    return stage instanceof Grpo grpo ? (long) grpo.steps() * grpo.updatesPerStep() : stage.steps();
  }

  /** What this stage reads; a replay reads what the stage it repeats does. */
  private List<String> consulted(Stage of) {
    return of instanceof Replay replay
        ? consulted(workshop.pipeline().stage(replay.repeats()))
        : of.consults();
  }

  LlamaModel model() {
    return model;
  }

  Updater updater() {
    return updater;
  }

  /** Trains step {@code k}, from 0. */
  Step step(long k, StepTimer timer) {
    try (PointerScope scope = new PointerScope()) {
      Losses losses = lossesOf.apply(timer);
      if (stage instanceof SupervisedWarmStart s) {
        return supervised(s, k, losses, timer);
      } else if (stage instanceof Grpo s) {
        return grpo(s, k, losses, timer);
      } else if (stage instanceof Replay s) {
        return replay(s, k, losses, timer);
      }
      return distillation(stage, stage.name(), k, k, losses, timer);
    } catch (TrainingFailure failure) {
      throw failure.at(seed, stage.name(), k + 1);
    }
  }

  private RandomKey key(String name, long k) {
    return RandomKey.ofSeed(seed).with("stage").with(name).with(k);
  }

  /** Which problems a stage meets; the same for every step, different from stage to stage. */
  private long problemSeed(String name) {
    return RandomKey.ofSeed(seed).with("problems").with(name).bits(0);
  }

  private List<Problem> problems(String name, Split split, long k, int count) {
    return Sampler.draw(workshop.task().problems(), split, problemSeed(name), k, count);
  }

  private Step supervised(SupervisedWarmStart s, long k, Losses losses, StepTimer timer) {
    List<Problem> problems = problems(s.name(), s.split(), k, s.batch());
    DigitNoise noise = new DigitNoise(s.digitNoise());
    RandomKey key = key(s.name(), k);
    List<Sequence> batch = new ArrayList<>();
    for (int i = 0; i < problems.size(); i++) {
      Problem problem = problems.get(i);
      String taught = noise.apply(problem.solution(), key.with(i));
      batch.add(
          new Sequence(
              workshop.sampler().encoder().prompt(problem),
              workshop.sampler().encoder().response(problem, taught)));
    }
    long tokens = tokens(batch);
    Updater.Update update =
        updater.update(batch, (part, logits) -> losses.crossEntropy(part, logits, tokens), timer);
    return new Step(measured(k, update, tokens), tokens);
  }

  private Step grpo(Grpo s, long k, Losses losses, StepTimer timer) {
    Sampler.Responses responses = generate(model, s.name(), s.rollouts(), k, timer);
    float[] rewards = workshop.sampler().scores(responses);
    float[] advantages = new float[rewards.length];
    double flat = timer.time(Phase.LOSS, () -> advantages(s, rewards, advantages));
    List<Sequence> all = responses.sequences();
    float[][] old = s.updatesPerStep() > 1 ? responses.logProbs() : null;
    LlamaModel reference = s.objective().klCoefficient() > 0 ? others.get(s.referenceName()) : null;
    Updater.Update update = null;
    int groups = s.rollouts().prompts();
    for (int u = 0; u < s.updatesPerStep(); u++) {
      int from = (int) ((long) groups * u / s.updatesPerStep()) * s.rollouts().samples();
      int to = (int) ((long) groups * (u + 1) / s.updatesPerStep()) * s.rollouts().samples();
      if (from == to) {
        continue;
      }
      List<Sequence> batch = all.subList(from, to);
      float[] batchAdvantages = Arrays.copyOfRange(advantages, from, to);
      float[][] batchOld = old == null ? null : Arrays.copyOfRange(old, from, to);
      long tokens = tokens(batch);
      update =
          updater.update(
              batch,
              (part, logits) ->
                  policy(
                      s,
                      losses,
                      part,
                      logits,
                      batchAdvantages,
                      batchOld,
                      reference,
                      batch.size(),
                      tokens),
              timer);
    }
    double mean = 0;
    for (float reward : rewards) {
      mean += reward / rewards.length;
    }
    StepMetrics metrics =
        measured(k, update, responses.tokens())
            .with(Metric.REWARD, mean)
            .with(Metric.CLIP_FRACTION, update.sums().clipped() / update.sums().tokens())
            .with(Metric.ZERO_ADVANTAGE_GROUPS, flat)
            .with(Metric.SCORED_ROLLOUTS, rewards.length);
    if (reference != null) {
      metrics = metrics.with(Metric.KL, update.sums().kl() / update.sums().tokens());
    }
    return new Step(metrics, 2 * responses.tokens());
  }

  /** Fills in the advantages; gives the share of groups that teach nothing. */
  private static double advantages(Grpo s, float[] rewards, float[] advantages) {
    GroupAdvantage operation =
        switch (s.objective().advantage()) {
          case GRPO -> GroupAdvantage.grpo();
          case DR_GRPO -> GroupAdvantage.drGrpo();
          case RLOO -> GroupAdvantage.rloo();
        };
    Groups groups = Groups.ofSize(s.rollouts().samples());
    try (Floats input = Floats.copyOf(rewards);
        Floats output = operation.forward(input, groups)) {
      System.arraycopy(output.toArray(), 0, advantages, 0, advantages.length);
    }
    int flat = 0;
    int size = s.rollouts().samples();
    for (int g = 0; g < rewards.length / size; g++) {
      boolean same = true;
      for (int i = 1; i < size; i++) {
        same &= rewards[g * size + i] == rewards[g * size];
      }
      flat += same ? 1 : 0;
    }
    return (double) flat * size / rewards.length;
  }

  private LossSums policy(
      Grpo s,
      Losses losses,
      MicroBatch part,
      Tensor logits,
      float[] advantages,
      float[][] old,
      LlamaModel reference,
      int sequences,
      long tokens) {
    PolicyObjective objective = s.objective();
    double temperature = s.rollouts().temperature();
    try (Floats partAdvantages = part.perSequence(advantages);
        Floats partOld = old == null ? null : part.perToken(old);
        Longs counts = part.tokenCounts();
        LogProbs referenceLogProbs =
            reference == null ? null : logProbs(part, frozenLogits(reference, part), temperature)) {
      Normalizer normalizer =
          switch (objective.average()) {
            case TOKENS -> Normalizer.tokens(tokens);
            case SEQUENCES -> Normalizer.sequences(sequences, counts);
            case CONSTANT ->
                Normalizer.constant(
                    (double) sequences * workshop.sampler().encoder().maxResponse());
          };
      return losses.policy(
          part,
          logits,
          new Losses.PolicyTerms(
              objective,
              temperature,
              partAdvantages,
              partOld,
              referenceLogProbs == null ? null : referenceLogProbs.logProb(),
              normalizer));
    }
  }

  private Step replay(Replay s, long k, Losses losses, StepTimer timer) {
    Stage repeated = workshop.pipeline().stage(s.repeats());
    // The prompts are those of the repeated stage, from its first step on; the draws are new.
    return distillation(repeated, s.name(), k % repeated.steps(), k, losses, timer);
  }

  /**
   * A step of distillation as {@code s} describes it, under the name {@code name}: problems of step
   * {@code problemStep} of {@code s}, draws of step {@code k} of this stage.
   */
  private Step distillation(
      Stage s, String name, long problemStep, long k, Losses losses, StepTimer timer) {
    if (s instanceof ForwardKlWarmup warmup) {
      LlamaModel teacher = others.get(warmup.teacher());
      Sampler.Responses responses =
          generate(teacher, warmup.name(), name, warmup.rollouts(), problemStep, k, timer);
      return distil(
          responses,
          List.of(teacher),
          null,
          OnPolicyDistillation.Divergence.FORWARD_KL,
          0,
          1,
          0,
          warmup.rollouts().temperature(),
          k,
          losses,
          timer);
    }
    OnPolicyDistillation opd = (OnPolicyDistillation) s;
    Sampler.Responses responses =
        generate(model, opd.name(), name, opd.rollouts(), problemStep, k, timer);
    return distil(
        responses,
        opd.teachers().stream().map(others::get).toList(),
        opd.reference() == null ? null : others.get(opd.reference()),
        opd.divergence(),
        opd.jsdBeta(),
        opd.rewardScale(),
        opd.importanceClip(),
        opd.rollouts().temperature(),
        k,
        losses,
        timer);
  }

  private Step distil(
      Sampler.Responses responses,
      List<LlamaModel> teachers,
      LlamaModel reference,
      OnPolicyDistillation.Divergence divergence,
      double beta,
      double rewardScale,
      double importanceClip,
      double temperature,
      long k,
      Losses losses,
      StepTimer timer) {
    List<Sequence> batch = responses.sequences();
    long tokens = tokens(batch);
    int[] teacherOf = new int[batch.size()];
    RandomKey key = key(stage.name(), k).with("teacher");
    for (int i = 0; i < teacherOf.length; i++) {
      teacherOf[i] = (int) key.below(i, teachers.size());
    }
    float[][] old = responses.logProbs();
    Updater.LossFunction loss =
        (part, logits) -> {
          Tensor target = null;
          for (int t = 0; t < teachers.size(); t++) {
            Tensor own = frozenLogits(teachers.get(t), part);
            target = t == 0 ? own : choose(part, teacherOf, t, own, target);
          }
          if (reference != null && rewardScale != 1) {
            target = extrapolate(frozenLogits(reference, part), target, rewardScale);
          }
          if (divergence != OnPolicyDistillation.Divergence.SAMPLED_TOKEN) {
            return losses.divergence(
                part, logits, divergence, beta, temperature, target, null, tokens);
          }
          try (LogProbs targets = logProbs(part, target, temperature);
              Floats partOld = part.perToken(old)) {
            return losses.sampledToken(
                part, logits, temperature, targets.logProb(), partOld, importanceClip, tokens);
          }
        };
    Updater.Update update = updater.update(batch, loss, timer);
    StepMetrics metrics =
        measured(k, update, tokens).with(Metric.KL, update.sums().kl() / update.sums().tokens());
    return new Step(metrics, 2 * tokens);
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

  private static Tensor frozenLogits(LlamaModel other, MicroBatch part) {
    try (NoGradGuard guard = new NoGradGuard()) {
      Tensor hidden = other.forward(part.layout().tokens());
      return other.head(part.layout().gather(hidden));
    }
  }

  private static LogProbs logProbs(MicroBatch part, Tensor logits, double temperature) {
    return LogProb.atTemperature((float) temperature).forward(Torch.matrix(logits), part.targets());
  }

  private Sampler.Responses generate(
      LlamaModel by, String name, RolloutSettings settings, long k, StepTimer timer) {
    return generate(by, name, name, settings, k, k, timer);
  }

  private Sampler.Responses generate(
      LlamaModel by,
      String problemsOf,
      String name,
      RolloutSettings settings,
      long problemStep,
      long k,
      StepTimer timer) {
    List<Problem> problems =
        problems(problemsOf, settings.split(), problemStep, settings.prompts());
    return timer.time(
        Phase.GENERATION,
        () -> {
          try (NoGradGuard guard = new NoGradGuard()) {
            return workshop.sampler().sample(by, problems, settings, key(name, k));
          }
        });
  }

  private StepMetrics measured(long k, Updater.Update update, long tokens) {
    return StepMetrics.of(seed, stage.name(), k + 1)
        .with(Metric.LOSS, update.sums().loss())
        .with(Metric.ENTROPY, update.sums().entropy() / update.sums().tokens())
        .with(Metric.GRADIENT_NORM, update.gradientNorm())
        .with(Metric.LEARNING_RATE, update.learningRate())
        .with(Metric.RESPONSE_TOKENS, tokens)
        .with(Metric.PADDED_SHARE, (double) update.paddedTokens() / update.bodyTokens());
  }

  private static long tokens(List<Sequence> batch) {
    return batch.stream().mapToLong(s -> s.response().length).sum();
  }

  @Override
  public void close() {
    updater.close();
    model.close();
    others.values().forEach(LlamaModel::close);
  }
}
