package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.DType;
import dev.polka.train.RandomKey;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class GeneratorTest {
  private static final int EOS = 2;
  private static final Generator SAMPLING = Generator.sampling(1, 40).withEosTokens(EOS);

  @BeforeAll
  static void fixThreads() {
    TorchThreads.use(2);
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16"})
  void recordedLogProbsAreThoseOfTheTrainingForwardPass(DType dtype) {
    try (LlamaModel model = Models.teacher(dtype)) {
      List<Rollout> rollouts = SAMPLING.generate(model, Models.requests(60));

      assertThat(rollouts.stream().mapToInt(Rollout::length).distinct().count()).isGreaterThan(10);
      assertThat(Models.recordedLogProbs(rollouts))
          .containsExactly(
              Models.trainingLogProbs(model, ResponseBatch.of(rollouts)), within(tolerance(dtype)));
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16"})
  void recordedLogProbsDoNotDependOnTheOrderOfTheTrainingBatch(DType dtype) {
    try (LlamaModel model = Models.student(dtype)) {
      List<Rollout> rollouts = new ArrayList<>(SAMPLING.generate(model, Models.requests(60)));
      for (int order = 0; order < 3; order++) {
        Collections.shuffle(rollouts, new Random(order));
        List<Rollout> part = rollouts.subList(0, 1 + 17 * order);

        assertThat(Models.recordedLogProbs(part))
            .containsExactly(
                Models.trainingLogProbs(model, ResponseBatch.of(part)), within(tolerance(dtype)));
      }
    }
  }

  @Test
  void aTargetShiftedByOneIsNoticed() {
    try (LlamaModel model = Models.teacher(DType.F32)) {
      List<Rollout> rollouts = SAMPLING.generate(model, Models.requests(60));
      List<Rollout> shifted =
          rollouts.stream()
              .map(r -> new Rollout(r.prompt(), rotated(r.response()), r.logProbs(), r.ended()))
              .toList();

      assertThatThrownBy(
              () ->
                  assertThat(Models.recordedLogProbs(rollouts))
                      .containsExactly(
                          Models.trainingLogProbs(model, ResponseBatch.of(shifted)), within(2e-2)))
          .isInstanceOf(AssertionError.class);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16"})
  void responsesDoNotDependOnTheBatchTheyAreDrawnIn(DType dtype) {
    try (LlamaModel model = Models.teacher(dtype)) {
      List<GenerationRequest> requests = Models.requests(40);
      List<Rollout> together = SAMPLING.generate(model, requests);
      List<GenerationRequest> reversed = new ArrayList<>(requests);
      Collections.reverse(reversed);
      List<Rollout> backwards = new ArrayList<>(SAMPLING.generate(model, reversed));
      Collections.reverse(backwards);
      List<Rollout> bySevens = SAMPLING.withMaxRows(7).generate(model, requests);
      List<Rollout> singly = SAMPLING.withMaxRows(1).generate(model, requests);

      for (List<Rollout> others : List.of(backwards, bySevens, singly)) {
        assertThat(others)
            .extracting(Rollout::response)
            .usingRecursiveComparison()
            .isEqualTo(together.stream().map(Rollout::response).toList());
        assertThat(Models.recordedLogProbs(others))
            .containsExactly(Models.recordedLogProbs(together), within(tolerance(dtype)));
      }
    }
  }

  @Test
  void anotherKeyDrawsAnotherResponse() {
    try (LlamaModel model = Models.teacher(DType.F32)) {
      int[] prompt = {1, 2, 3};
      RandomKey key = RandomKey.ofSeed(1);
      List<Rollout> rollouts =
          SAMPLING.generate(
              model,
              List.of(
                  new GenerationRequest(prompt, key.with(0)),
                  new GenerationRequest(prompt, key.with(1)),
                  new GenerationRequest(prompt, key.with(0))));

      assertThat(rollouts.get(1).response()).isNotEqualTo(rollouts.get(0).response());
      assertThat(rollouts.get(2).response()).isEqualTo(rollouts.get(0).response());
    }
  }

  @Test
  void responsesEndAtTheEndTokenOrTheLargestLength() {
    try (LlamaModel model = Models.student(DType.F32)) {
      List<Rollout> rollouts = SAMPLING.generate(model, Models.requests(60));

      assertThat(rollouts).extracting(Rollout::ended).contains(true, false);
      for (Rollout rollout : rollouts) {
        int[] response = rollout.response();
        assertThat(rollout.logProbs()).hasSameSizeAs(response);
        assertThat(response[response.length - 1] == EOS).isEqualTo(rollout.ended());
        assertThat(rollout.ended() || response.length == 40).isTrue();
        assertThat(Arrays.stream(response, 0, response.length - 1)).doesNotContain(EOS);
      }
    }
  }

  @Test
  void theModelsEndTokensAreTheDefault() {
    ModelConfig config = ModelConfig.student(Models.VOCAB, 64).withEosTokens(List.of(EOS, 5));
    try (LlamaModel model = LlamaModel.create(config, 12)) {
      List<Rollout> rollouts = Generator.sampling(1, 40).generate(model, Models.requests(60));

      assertThat(rollouts)
          .extracting(rollout -> rollout.response()[rollout.response().length - 1])
          .contains(EOS, 5);
    }
  }

  @Test
  void tokensComeAsOftenAsTheirProbabilitySays() {
    float[] logits = {0f, (float) Math.log(2), Float.NEGATIVE_INFINITY, (float) Math.log(5)};
    int[] counts = new int[4];
    RandomKey key = RandomKey.ofSeed(3);
    for (int i = 0; i < 80_000; i++) {
      counts[TokenChoice.sample(logits, 0, 4, 1, key.uniform(i)).token()]++;
    }

    assertThat(counts[0]).isCloseTo(10_000, within(400));
    assertThat(counts[1]).isCloseTo(20_000, within(500));
    assertThat(counts[2]).isZero();
    assertThat(counts[3]).isCloseTo(50_000, within(550));
  }

  @Test
  void logProbsAreRecordedAtTheTemperatureOfTheDraw() {
    float[] logits = {1f, 3f};

    TokenChoice choice = TokenChoice.sample(logits, 0, 2, 0.5, 0);

    assertThat(choice.token()).isZero();
    assertThat((double) choice.logProb()).isCloseTo(-Math.log1p(Math.exp(4)), within(1e-6));
  }

  @Test
  void greedyTakesTheLowestOfEqualTokens() {
    float[] logits = {9f, 9f, 1f, 7f, 7f, 0f};

    assertThat(TokenChoice.greedy(logits, 3, 3).token()).isZero();
    assertThat((double) TokenChoice.greedy(logits, 0, 3).logProb())
        .isCloseTo(-Math.log(2 + Math.exp(-8)), within(1e-6));
  }

  @Test
  void aPromptWithoutRoomForItsResponseIsRefused() {
    try (LlamaModel model = Models.student(DType.F32)) {
      List<GenerationRequest> requests =
          List.of(new GenerationRequest(new int[25], RandomKey.ofSeed(1)));

      assertThatThrownBy(() -> SAMPLING.generate(model, requests))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("requests[0].prompt has 25 tokens")
          .hasMessageContaining("contextLength - maxTokens = 24");
    }
  }

  @Test
  void aModelThatComputesNanIsNamedByRequestAndToken() {
    try (LlamaModel model = Models.student(DType.F32)) {
      try (NoGradGuard guard = new NoGradGuard();
          PointerScope scope = new PointerScope()) {
        model.parameters().get("model.norm.weight").fill_(new Scalar(Float.NaN));
      }

      assertThatThrownBy(() -> SAMPLING.generate(model, Models.requests(1)))
          .isInstanceOf(ArithmeticException.class)
          .hasMessageContaining("requests[0], response token 0");
    }
  }

  private static double tolerance(DType dtype) {
    return dtype == DType.F32 ? 1e-5 : 2e-2;
  }

  private static int[] rotated(int[] response) {
    int[] rotated = new int[response.length];
    for (int t = 0; t < response.length; t++) {
      rotated[t] = response[(t + 1) % response.length];
    }
    return rotated;
  }
}
