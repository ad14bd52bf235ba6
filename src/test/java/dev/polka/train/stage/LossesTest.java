package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.Normalizer;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.torch.Tensors;
import dev.polka.train.config.OnPolicyDistillation.Divergence;
import dev.polka.train.config.PolicyObjective;
import dev.polka.train.config.PolicyObjective.Advantage;
import dev.polka.train.config.PolicyObjective.Average;
import dev.polka.train.config.PolicyObjective.KlEstimate;
import dev.polka.train.report.StepTimer;
import java.util.function.BiFunction;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Polka's kernels and libtorch's operations find the same numbers and gradients. */
class LossesTest {
  private static final double TOLERANCE = 1e-5;

  private final MicroBatch batch = MicroBatch.cut(Batches.sequences(12), 4096).get(0);
  private final int rows = batch.rows();

  @AfterEach
  void close() {
    batch.close();
  }

  @Test
  void crossEntropyIsTheSame() {
    compare((losses, logits) -> losses.crossEntropy(batch, logits, rows));
  }

  @ParameterizedTest
  @CsvSource({"TOKENS, 1, 0", "SEQUENCES, 0.7, 2", "CONSTANT, 1.3, 10"})
  void clippedPolicyLossIsTheSame(Average average, double temperature, double dualClip) {
    var objective =
        new PolicyObjective(Advantage.GRPO, average, 0.2, 0.28, dualClip, 0, KlEstimate.K3, 0.01);
    LossSums sums = policy(objective, temperature, true);
    assertThat(sums.clipped()).as("clipped tokens").isGreaterThan(3);
  }

  @ParameterizedTest
  @EnumSource
  void penaltyOnTheKlIsTheSame(KlEstimate estimator) {
    policy(
        new PolicyObjective(Advantage.GRPO, Average.TOKENS, 0.2, 0.28, 10, 0.1, estimator, 0),
        1,
        false);
  }

  /** Numbers as log-probs of the student's tokens may be. */
  private float[] near(String name) {
    float[] logProbs = Batches.numbers(name, rows, 1);
    for (int r = 0; r < rows; r++) {
      logProbs[r] -= 3;
    }
    return logProbs;
  }

  private LossSums policy(PolicyObjective objective, double temperature, boolean offPolicy) {
    float[] perSequence = Batches.numbers("advantage", batch.size(), 2);
    try (Floats advantages = Floats.copyOf(perSequence);
        Floats old = Floats.copyOf(near("old"));
        Floats reference = Floats.copyOf(near("reference"));
        Longs counts = batch.tokenCounts()) {
      Normalizer normalizer =
          switch (objective.average()) {
            case TOKENS -> Normalizer.tokens(rows);
            case SEQUENCES -> Normalizer.sequences(batch.size(), counts);
            case CONSTANT -> Normalizer.constant(5.0 * batch.size());
          };
      var terms =
          new Losses.PolicyTerms(
              objective,
              temperature,
              advantages,
              offPolicy ? old : null,
              objective.klCoefficient() > 0 ? reference : null,
              normalizer);
      return compare((losses, logits) -> losses.policy(batch, logits, terms));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "FORWARD_KL, 1, false",
    "FORWARD_KL, 0.7, true",
    "REVERSE_KL, 1, true",
    "REVERSE_KL, 1.5, false",
    "JSD, 1, false",
    "JSD, 0.8, true"
  })
  void divergenceIsTheSame(Divergence kind, double temperature, boolean weighted) {
    Tensor teacher = logits("teacher", false);
    try (Floats weight = Floats.copyOf(Batches.numbers("weight", rows, 1))) {
      compare(
          (losses, logits) ->
              losses.divergence(
                  batch, logits, kind, 0.3, temperature, teacher, weighted ? weight : null, rows));
    }
  }

  @Test
  void sampledTokenDistillationIsTheSame() {
    try (Floats target = Floats.copyOf(Batches.numbers("target", rows, 3));
        Floats old = Floats.copyOf(Batches.numbers("old", rows, 3))) {
      compare((losses, logits) -> losses.sampledToken(batch, logits, 0.9, target, old, 2, rows));
    }
  }

  private LossSums compare(BiFunction<Losses, Tensor, LossSums> loss) {
    try (PointerScope scope = new PointerScope()) {
      Tensor one = logits("student", true);
      Tensor other = logits("student", true);
      LossSums polka = loss.apply(new PolkaLosses(StepTimer.start()), one);
      LossSums libtorch = loss.apply(new LibtorchLosses(StepTimer.start()), other);

      assertThat(polka.loss()).isCloseTo(libtorch.loss(), within(TOLERANCE));
      assertThat(polka.kl()).isCloseTo(libtorch.kl(), within(rows * TOLERANCE));
      assertThat(polka.entropy()).isCloseTo(libtorch.entropy(), within(rows * TOLERANCE));
      assertThat(polka.clipped()).isEqualTo(libtorch.clipped());
      assertThat(polka.tokens()).isEqualTo(libtorch.tokens()).isEqualTo(rows);
      float[] expected = Values.of(other.grad());
      assertThat(expected).doesNotContain(Float.NaN);
      assertThat(Values.largest(expected)).isGreaterThan(1e-3f);
      assertThat(Values.of(one.grad())).containsExactly(expected, within((float) TOLERANCE));
      return polka;
    }
  }

  private Tensor logits(String name, boolean leaf) {
    Tensor logits = Tensors.of(Batches.numbers(name, rows * Batches.VOCAB, 3), rows, Batches.VOCAB);
    logits.set_requires_grad(leaf);
    return logits;
  }
}
