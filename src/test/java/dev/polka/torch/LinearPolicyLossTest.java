package dev.polka.torch;

import static dev.polka.torch.TensorError.assertAsGood;
import static dev.polka.torch.TensorError.assertClose;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.PolicyLossMetrics;
import dev.polka.kernel.TokenBatch;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class LinearPolicyLossTest {
  private static final long[] CHUNKS = {1, 6, 16, 37};
  private static final Normalizer TOKENS = Normalizer.tokens(30);

  private PointerScope scope;
  private Longs offsets;
  private Floats advantages;
  private Floats old;

  @BeforeEach
  void open() {
    scope = new PointerScope();
    Random random = new Random(11);
    offsets = Longs.copyOf(0, 9, 9, 20, HeadCase.ROWS);
    advantages = Floats.copyOf(1.5f, 0.3f, -0.8f, 0.9f);
    float[] values = new float[HeadCase.ROWS];
    for (int r = 0; r < values.length; r++) {
      values[r] = -6 + 2 * random.nextFloat();
    }
    old = Floats.copyOf(values);
  }

  @AfterEach
  void close() {
    scope.close();
    offsets.close();
    advantages.close();
    old.close();
  }

  static PolicyLoss[] objectives() {
    return new PolicyLoss[] {
      PolicyLoss.reinforce().withEntropyBonus(0.1),
      PolicyLoss.ppo().withoutClip().withKl(KlEstimator.K3, 0.05),
      PolicyLoss.cispo().withEntropyBonus(-0.2),
      PolicyLoss.gspo().withoutClip(),
      PolicyLoss.gspo().withClip(0.5f, 0.5f).withEntropyBonus(0.1),
    };
  }

  private TokenBatch batch(HeadCase c) {
    return TokenBatch.of(c.targets(), offsets)
        .withOld(old)
        .withReference(old)
        .withSequenceAdvantages(advantages);
  }

  private static PolicyLoss onto(HeadCase c, PolicyLoss objective) {
    PolicyLoss tempered = objective.withTemperature(c.temperature);
    return c.softcap == 0 ? tempered : tempered.withSoftcap(c.softcap);
  }

  private static LinearPolicyLoss linear(HeadCase c, PolicyLoss objective, long rowsPerChunk) {
    return LinearPolicyLoss.of(onto(c, objective)).withMemoryBudget(c.budget(rowsPerChunk));
  }

  private static Tensor tensor(Floats values) {
    return Tensors.of(values.toArray());
  }

  /** The derivatives of the loss for log-probs, from the entry that is tested by itself. */
  private HeadCase.Plain backwards(HeadCase c, torch.ScalarType as, PolicyLoss objective) {
    HeadCase.Plain plain = c.new Plain(as);
    Tensor lp = plain.logProb().detach().to(torch.ScalarType.Float);
    Tensor entropy = plain.entropy().detach().to(torch.ScalarType.Float);
    try (LossResult r =
        objective.forwardBackward(Torch.floats(lp), Torch.floats(entropy), batch(c), TOKENS)) {
      plain
          .logProb()
          .mul(tensor(r.logProbGradient()))
          .add(plain.entropy().mul(tensor(r.entropyGradient())))
          .sum()
          .backward();
    }
    return plain;
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void gradientsAreAsGoodAsLibtorchs(PolicyLoss objective) {
    for (HeadCase c : HeadCase.all()) {
      HeadCase.Plain exact = backwards(c, torch.ScalarType.Double, objective);
      HeadCase.Plain libtorch = backwards(c, c.type, objective);
      for (long rowsPerChunk : CHUNKS) {
        try (LinearLossResult r =
            linear(c, objective, rowsPerChunk)
                .forwardBackward(c.hidden, c.head(), batch(c), TOKENS)) {
          assertAsGood(c + " in chunks of " + rowsPerChunk, r.gradients(), libtorch, exact);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void lossAndMetricsAreThoseOfPolicyLossOnLogits(PolicyLoss objective) {
    HeadCase c = new HeadCase("metrics", torch.ScalarType.Float, false, 1, 3, 0.8f, 3);
    Tensor logits = c.hidden.mm(c.weight.t());
    try (LossResult expected =
            onto(c, objective).forwardBackward(Torch.matrix(logits), batch(c), TOKENS);
        LinearLossResult whole =
            linear(c, objective, 5).forwardBackward(c.hidden, c.head(), batch(c), TOKENS);
        LinearLossResult forward =
            linear(c, objective, 5).forward(c.hidden, c.head(), batch(c), TOKENS)) {
      assertThat(whole.loss()).isCloseTo(expected.loss(), within(1e-6));
      PolicyLossMetrics theirs = expected.metrics();
      PolicyLossMetrics ours = whole.metrics();
      assertThat(ours.tokens()).isEqualTo(theirs.tokens());
      assertThat(ours.sequences()).isEqualTo(theirs.sequences());
      assertThat(ours.klLoss()).isCloseTo(theirs.klLoss(), within(1e-6));
      assertThat(ours.entropyLoss()).isCloseTo(theirs.entropyLoss(), within(1e-6));
      assertThat(ours.ratioMax()).isCloseTo(theirs.ratioMax(), within(1e-5));
      assertThat(forward.loss()).isEqualTo(whole.loss());
      assertClose("log-prob", tensor(whole.logProb()), tensor(expected.logProb()), 1e-6);
      assertClose("entropy", tensor(whole.entropy()), tensor(expected.entropy()), 1e-6);
      assertThatIllegalStateException().isThrownBy(forward::gradients);
    }
  }

  @Test
  void oldLogProbsOfTheSameHeadGiveRatiosOfExactlyOne() {
    for (HeadCase c : HeadCase.all()) {
      PolicyLoss objective = onto(c, PolicyLoss.grpo());
      long budget = c.budget(7);
      LinearLogProb logProb = LinearLogProb.of(objective.logProb()).withMemoryBudget(budget);
      try (LogProbs saved = logProb.forward(c.hidden, c.head(), c.targets());
          LinearLossResult r =
              LinearPolicyLoss.of(objective)
                  .withMemoryBudget(budget)
                  .forwardBackward(c.hidden, c.head(), batch(c).withOld(saved.logProb()), TOKENS)) {
        assertThat(r.logProb().toArray()).containsExactly(saved.logProb().toArray());
        assertThat(r.metrics().ratioMin()).as(c.name).isEqualTo(1);
        assertThat(r.metrics().ratioMax()).as(c.name).isEqualTo(1);
      }
    }
  }

  @Test
  void aFrozenHeadLeavesTheHiddenStatesTheirGradient() {
    HeadCase c = HeadCase.masked(torch.ScalarType.BFloat16);
    LinearPolicyLoss objective = linear(c, PolicyLoss.grpo(), 5);
    try (LinearLossResult full = objective.forwardBackward(c.hidden, c.head(), batch(c), TOKENS);
        LinearLossResult frozen =
            objective.forwardBackward(c.hidden, c.head().frozen(), batch(c), TOKENS)) {
      assertThat(frozen.gradients().hidden().toArray())
          .containsExactly(full.gradients().hidden().toArray());
      assertThatIllegalStateException().isThrownBy(() -> frozen.gradients().weight());
      assertThatIllegalStateException().isThrownBy(() -> frozen.gradients().bias());
    }
  }

  @Test
  void microBatchesAddIntoTheSumsThatTheHeadNames() {
    HeadCase c = HeadCase.masked(torch.ScalarType.BFloat16);
    Tensor weightSum = torch.ones(HeadCase.VOCABULARY, HeadCase.WIDTH);
    Tensor biasSum = torch.ones(HeadCase.VOCABULARY);
    LinearHead head = c.head().withWeightGradient(weightSum).withBiasGradient(biasSum);
    LinearPolicyLoss objective = linear(c, PolicyLoss.grpo(), 5);
    try (LinearLossResult once = objective.forwardBackward(c.hidden, c.head(), batch(c), TOKENS)) {
      for (int i = 0; i < 2; i++) {
        objective.forwardBackward(c.hidden, head, batch(c), TOKENS).close();
      }
      Scalar two = new Scalar(2f);
      Tensor weight = Torch.tensor(once.gradients().weight()).mul(two);
      Tensor bias = Torch.tensor(once.gradients().bias()).mul(two);
      assertClose("weight", weightSum.sub(torch.ones_like(weightSum)), weight, 1e-4);
      assertClose("bias", biasSum.sub(torch.ones_like(biasSum)), bias, 1e-4);
    }
  }

  @Test
  void gradientsReachTheParametersAsFromLogits() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor body = HeadCase.normal(new Random(3), 0.3f, HeadCase.WIDTH, HeadCase.WIDTH);
    body.requires_grad_(true);
    Tensor weight = c.weight.clone().requires_grad_(true);
    Tensor logits = c.hidden.matmul(body).tanh().matmul(weight.t());
    try (LossResult r = PolicyLoss.grpo().forwardBackward(Torch.matrix(logits), batch(c), TOKENS)) {
      Torch.backward(logits, r.gradient());
    }
    Tensor expectedBody = body.grad().clone();
    Tensor expectedWeight = weight.grad().clone();
    body.grad().zero_();
    weight.grad().zero_();
    Tensor hidden = c.hidden.matmul(body).tanh();
    try (LinearLossResult r =
        linear(c, PolicyLoss.grpo(), 8)
            .forwardBackward(
                hidden,
                LinearHead.of(weight).withWeightGradient(weight.grad()),
                batch(c),
                TOKENS)) {
      Torch.backward(hidden, r.gradients().hidden());
    }
    assertClose("body", body.grad(), expectedBody, 2e-6);
    assertClose("head", weight.grad(), expectedWeight, 2e-6);
  }

  @Test
  void aSkippedNonFiniteRowSpreadsNothing() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor overflowing = c.hidden.clone();
    overflowing.get(4).fill_(new Scalar(3e38f));
    PolicyLoss skipping = PolicyLoss.grpo().withSkipNonFinite();
    try (LinearLossResult r =
            linear(c, skipping, 8).forwardBackward(overflowing, c.head(), batch(c), TOKENS);
        LinearLossResult failing =
            linear(c, PolicyLoss.grpo(), 8)
                .forwardBackward(overflowing, c.head(), batch(c), TOKENS)) {
      assertThat(r.metrics().firstNonFiniteRow()).isEqualTo(4);
      assertThat(r.loss()).isFinite();
      for (float element : r.gradients().weight().toArray()) {
        assertThat(element).isFinite();
      }
      assertThat(failing.loss()).isNaN();
    }
  }

  @Test
  void noRowsGiveLossZero() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor none = c.hidden.narrow(0, 0, 0);
    for (PolicyLoss objective : objectives()) {
      try (Longs ids = Longs.copyOf();
          Longs start = Longs.copyOf(0);
          Floats nothing = Floats.copyOf();
          LinearLossResult r =
              linear(c, objective, 8)
                  .forwardBackward(
                      none,
                      c.head(),
                      TokenBatch.of(ids, start).withReference(nothing).withTokenAdvantages(nothing),
                      TOKENS)) {
        assertThat(r.loss()).isZero();
        assertThat(r.gradients().weight().toArray()).containsOnly(0f);
      }
    }
  }

  @Test
  void aBatchThatIsWrongChangesNoSum() {
    HeadCase c = HeadCase.plain(torch.ScalarType.Float);
    Tensor sum = torch.zeros(HeadCase.VOCABULARY, HeadCase.WIDTH);
    LinearHead head = c.head().withWeightGradient(sum);
    TokenBatch withoutReference =
        TokenBatch.of(c.targets(), offsets).withOld(old).withSequenceAdvantages(advantages);
    assertThatIllegalArgumentException()
        .isThrownBy(
            () ->
                linear(c, PolicyLoss.grpo().withKl(KlEstimator.K3, 1), 5)
                    .forwardBackward(c.hidden, head, withoutReference, TOKENS))
        .withMessageContaining("reference");
    assertThat(TensorError.magnitude(sum)).isZero();
    assertThatIllegalArgumentException()
        .isThrownBy(
            () ->
                linear(c, PolicyLoss.grpo(), 5)
                    .forwardBackward(
                        c.hidden,
                        head,
                        TokenBatch.ofOffsets(offsets).withSequenceAdvantages(advantages),
                        TOKENS))
        .withMessageContaining("targets: are missing");
  }
}
