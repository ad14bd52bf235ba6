package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.Normalizer;
import dev.polka.memory.Floats;
import dev.polka.train.TrainingFailure;
import dev.polka.train.config.BatchingSettings;
import dev.polka.train.config.OnPolicyDistillation.Divergence;
import dev.polka.train.config.OptimizerSettings;
import dev.polka.train.config.PolicyObjective;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.model.ModelConfig;
import dev.polka.train.report.StepTimer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class UpdaterTest {
  private static final OptimizerSettings UNCLIPPED =
      new OptimizerSettings(
          1e-3, 0, OptimizerSettings.Schedule.CONSTANT, 0, 0.9, 0.999, 1e-8, 0.1, 1e9);

  /** Of f32 sums in another order, as a share of the largest gradient of a parameter. */
  private static final float ROUNDING = 1e-5f;

  private enum Kind {
    CROSS_ENTROPY,
    POLICY,
    REVERSE_KL
  }

  private final List<Sequence> batch = Batches.sequences(24);
  private final StepTimer timer = StepTimer.start();
  private final LlamaModel model = model();

  @AfterEach
  void close() {
    model.close();
  }

  private static LlamaModel model() {
    return LlamaModel.create(ModelConfig.student(Batches.VOCAB, 16), 1);
  }

  @ParameterizedTest
  @CsvSource({
    "1, CROSS_ENTROPY", "20, CROSS_ENTROPY", "70, CROSS_ENTROPY",
    "1, POLICY", "20, POLICY", "70, POLICY",
    "1, REVERSE_KL", "20, REVERSE_KL", "70, REVERSE_KL"
  })
  void gradientsOfMicroBatchesAddUpToThoseOfTheBatch(int maxTokens, Kind kind) {
    try (LlamaModel other = model();
        LlamaModel teacher = LlamaModel.create(ModelConfig.teacher(Batches.VOCAB, 16), 2)) {
      Updater.Update whole = update(model, batch, 4096, loss(kind, teacher));
      Updater.Update parts = update(other, batch, maxTokens, loss(kind, teacher));

      assertThat(parts.sums().loss()).isCloseTo(whole.sums().loss(), within(1e-6));
      assertThat(parts.gradientNorm())
          .isCloseTo(whole.gradientNorm(), within(ROUNDING * whole.gradientNorm()));
      Map<String, float[]> expected = Values.gradients(model.parameters().named());
      Map<String, float[]> found = Values.gradients(other.parameters().named());
      expected.forEach(
          (name, gradient) ->
              assertThat(found.get(name))
                  .as(name)
                  .containsExactly(gradient, within(ROUNDING * Values.largest(gradient))));
    }
  }

  private Updater.LossFunction loss(Kind kind, LlamaModel teacher) {
    long tokens = StageTraining.tokens(batch);
    float[] advantages = Batches.numbers("advantage", batch.size(), 2);
    return switch (kind) {
      case CROSS_ENTROPY -> (part, logits) -> losses().crossEntropy(part, logits, tokens);
      case POLICY ->
          (part, logits) -> {
            try (Floats own = part.perSequence(advantages)) {
              var terms =
                  new Losses.PolicyTerms(
                      PolicyObjective.defaults(), 1, own, null, null, Normalizer.tokens(tokens));
              return losses().policy(part, logits, terms);
            }
          };
      case REVERSE_KL ->
          (part, logits) ->
              losses()
                  .divergence(
                      part,
                      logits,
                      Divergence.REVERSE_KL,
                      0,
                      1,
                      new FixedModel(teacher).logits(part),
                      null,
                      tokens);
    };
  }

  @Test
  void sequencesWithoutResponseChangeNothing() {
    update(model, batch, 4096);
    List<Sequence> more = new ArrayList<>(batch);
    more.add(new Sequence(new int[] {1, 2, 3}, new int[0]));
    try (LlamaModel other = model()) {
      for (int maxTokens : new int[] {1, 4096}) {
        other.parameters().copyFrom(model.parameters());
        assertThat(update(other, more, maxTokens).sums().tokens())
            .isEqualTo(StageTraining.tokens(batch));
      }
    }
  }

  @Test
  void aBatchWithoutTokensHasNoLossAndNoGradient() {
    Updater.Update update =
        update(model, List.of(new Sequence(new int[] {1, 2}, new int[0])), 4096);
    assertThat(update.sums().tokens()).isZero();
    assertThat(update.sums().loss()).isZero();
    assertThat(update.gradientNorm()).isZero();
  }

  @Test
  void aLossThatIsNotFiniteStopsBeforeTheWeightsChangeAndNamesTheSequences() {
    float[] before = Values.of(model.parameters().get("model.layers.0.mlp.up_proj.weight"));
    try (Updater updater = new Updater(model, UNCLIPPED, new BatchingSettings(4096, 1), 10)) {
      assertThatThrownBy(
              () ->
                  updater.update(
                      batch,
                      (part, logits) -> {
                        try (NoGradGuard guard = new NoGradGuard()) {
                          logits.detach().select(0, 0).fill_(new Scalar(Double.NaN));
                        }
                        return losses().crossEntropy(part, logits, 10);
                      },
                      timer))
          .isInstanceOf(TrainingFailure.class)
          .hasMessageContaining("the loss is NaN; 1 of 24 sequences have logits that are not")
          .hasMessageContaining("(prompt of ");
    }
    assertThat(Values.of(model.parameters().get("model.layers.0.mlp.up_proj.weight")))
        .isEqualTo(before);
  }

  private Losses losses() {
    return new PolkaLosses(timer);
  }

  private Updater.Update update(LlamaModel of, List<Sequence> sequences, int maxTokens) {
    long tokens = Math.max(1, StageTraining.tokens(sequences));
    return update(
        of, sequences, maxTokens, (part, logits) -> losses().crossEntropy(part, logits, tokens));
  }

  private Updater.Update update(
      LlamaModel of, List<Sequence> sequences, int maxTokens, Updater.LossFunction loss) {
    try (PointerScope scope = new PointerScope();
        Updater updater = new Updater(of, UNCLIPPED, new BatchingSettings(maxTokens, 1), 10)) {
      return updater.update(sequences, loss, timer);
    }
  }
}
