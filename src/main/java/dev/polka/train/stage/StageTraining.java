package dev.polka.train.stage;

import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.Normalizer;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.train.RandomKey;
import dev.polka.train.TrainingFailure;
import dev.polka.train.config.Grpo;
import dev.polka.train.config.Pipeline;
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
import org.bytedeco.pytorch.Tensor;

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
      }
      return new Distillation(this, losses, timer).step(stage, k);
    } catch (TrainingFailure failure) {
      throw failure.at(seed, stage.name(), k + 1);
    }
  }

  /** Of all that is drawn in step {@code k}. */
  RandomKey key(long k) {
    return RandomKey.ofSeed(seed).with("stage").with(stage.name()).with(k);
  }

  /** A model that this stage reads, by name. */
  FixedModel other(String name) {
    return new FixedModel(others.get(name));
  }

  /** The configuration. */
  Pipeline pipeline() {
    return workshop.pipeline();
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
    RandomKey key = key(k);
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
    Sampler.Responses responses = generate(model, s.name(), s.rollouts(), k, k, timer);
    float[] rewards = workshop.sampler().scores(responses);
    float[] advantages = new float[rewards.length];
    double flat = timer.time(Phase.LOSS, () -> advantages(s, rewards, advantages));
    List<Sequence> all = responses.sequences();
    float[][] old = s.updatesPerStep() > 1 ? responses.logProbs() : null;
    FixedModel reference = s.objective().klCoefficient() > 0 ? other(s.referenceName()) : null;
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
            .with(Metric.SCORED_ROLLOUTS, rewards.length)
            .with(Metric.KL, update.sums().kl() / update.sums().tokens());
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
      FixedModel reference,
      int sequences,
      long tokens) {
    PolicyObjective objective = s.objective();
    double temperature = s.rollouts().temperature();
    try (Floats partAdvantages = part.perSequence(advantages);
        Floats partOld = old == null ? null : part.perToken(old);
        Longs counts = part.tokenCounts();
        LogProbs referenceLogProbs =
            reference == null ? null : reference.logProbs(part, temperature)) {
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

  /**
   * Responses for step {@code k}, to the problems that step {@code problemStep} of the stage {@code
   * problemsOf} meets.
   */
  Sampler.Responses generate(
      LlamaModel by,
      String problemsOf,
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
            return workshop.sampler().sample(by, problems, settings, key(k));
          }
        });
  }

  /** What every step reports. */
  StepMetrics measured(long k, Updater.Update update, long tokens) {
    return StepMetrics.of(seed, stage.name(), k + 1)
        .with(Metric.LOSS, update.sums().loss())
        .with(Metric.ENTROPY, update.sums().entropy() / update.sums().tokens())
        .with(Metric.GRADIENT_NORM, update.gradientNorm())
        .with(Metric.LEARNING_RATE, update.learningRate())
        .with(Metric.RESPONSE_TOKENS, tokens)
        .with(Metric.PADDED_SHARE, (double) update.paddedTokens() / update.bodyTokens());
  }

  /** Response tokens of a batch. */
  static long tokens(List<Sequence> batch) {
    return batch.stream().mapToLong(s -> s.response().length).sum();
  }

  @Override
  public void close() {
    updater.close();
    model.close();
    others.values().forEach(LlamaModel::close);
  }
}
