package dev.polka.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.KlGradient;
import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.Targets;
import dev.polka.kernel.TokenBatch;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A whole policy-optimization step on libtorch, from logits to parameters. */
class GrpoTrainingTest {
  private static final int GROUP = 16;
  private static final int SEQUENCES = ToyPolicy.PROMPTS * GROUP;
  private static final int STEPS = 120;
  private static final float LEARNING_RATE = 1f;
  private static final PolicyLoss EXPLORING = PolicyLoss.grpo().withEntropyBonus(0.4);

  /** Sampled responses of two symbols: states and targets row after row, a reward per sequence. */
  private record Rollouts(long[] prompts, long[] before, long[] targets, float[] rewards) {
    static Rollouts sample(ToyPolicy policy, Random random) {
      long[] prompts = new long[2 * SEQUENCES];
      long[] before = new long[2 * SEQUENCES];
      long[] targets = new long[2 * SEQUENCES];
      float[] rewards = new float[SEQUENCES];
      for (int s = 0; s < SEQUENCES; s++) {
        int p = s / GROUP;
        int first = draw(policy.probabilities(p, ToyPolicy.SYMBOLS), random);
        int second = draw(policy.probabilities(p, first), random);
        prompts[2 * s] = p;
        prompts[2 * s + 1] = p;
        before[2 * s] = ToyPolicy.SYMBOLS;
        before[2 * s + 1] = first;
        targets[2 * s] = first;
        targets[2 * s + 1] = second;
        rewards[s] = ToyPolicy.reward(p, first, second);
      }
      return new Rollouts(prompts, before, targets, rewards);
    }

    private static int draw(double[] probabilities, Random random) {
      double u = random.nextDouble();
      for (int i = 0; i < probabilities.length - 1; i++) {
        u -= probabilities[i];
        if (u < 0) {
          return i;
        }
      }
      return probabilities.length - 1;
    }

    Rollouts part(int from, int to) {
      return new Rollouts(
          Arrays.copyOfRange(prompts, 2 * from, 2 * to),
          Arrays.copyOfRange(before, 2 * from, 2 * to),
          Arrays.copyOfRange(targets, 2 * from, 2 * to),
          Arrays.copyOfRange(rewards, from, to));
    }

    Tensor logits(ToyPolicy policy) {
      return policy.logits(prompts, before);
    }

    TokenBatch batch(float[] advantages) {
      long[] offsets = new long[rewards.length + 1];
      Arrays.setAll(offsets, i -> 2L * i);
      return TokenBatch.of(Targets.of(Longs.copyOf(targets)), Longs.copyOf(offsets))
          .withAdvantages(Floats.copyOf(advantages));
    }

    float[] advantages() {
      try (Floats input = Floats.copyOf(rewards);
          Floats output = GroupAdvantage.grpo().forward(input, Groups.ofSize(GROUP))) {
        return output.toArray();
      }
    }
  }

  private static double train(long seed, float sign) {
    Random random = new Random(seed);
    try (ToyPolicy policy = new ToyPolicy(seed)) {
      assertThat(policy.expectedReward()).isLessThan(0.3);
      for (int step = 0; step < STEPS; step++) {
        try (PointerScope scope = new PointerScope()) {
          Rollouts rollouts = Rollouts.sample(policy, random);
          float[] advantages = rollouts.advantages();
          for (int i = 0; i < advantages.length; i++) {
            advantages[i] *= sign;
          }
          policy.zeroGradients();
          Tensor logits = rollouts.logits(policy);
          PolicyLoss objective = step < STEPS / 2 ? EXPLORING : PolicyLoss.grpo();
          try (LossResult result =
              objective.forwardBackward(
                  Torch.matrix(logits),
                  rollouts.batch(advantages),
                  Normalizer.tokens(2 * SEQUENCES))) {
            Torch.backward(logits, result.gradient());
          }
          policy.step(LEARNING_RATE);
        }
      }
      return policy.expectedReward();
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5})
  void theExactExpectedRewardRises(long seed) {
    assertThat(train(seed, 1)).isGreaterThan(0.8);
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5})
  void negatedAdvantagesLowerIt(long seed) {
    double before;
    try (ToyPolicy policy = new ToyPolicy(seed)) {
      before = policy.expectedReward();
    }
    assertThat(train(seed, -1)).isLessThan(before);
  }

  private static float[] gradient(Tensor parameter) {
    return Torch.floats(parameter.grad().contiguous()).toArray();
  }

  private static Floats off(Tensor logits, Rollouts rollouts, long seed) {
    Random random = new Random(seed);
    try (Targets targets = Targets.of(Longs.copyOf(rollouts.targets()));
        LogProbs now = LogProb.plain().forward(Torch.matrix(logits), targets)) {
      float[] values = now.logProb().toArray();
      for (int i = 0; i < values.length; i++) {
        values[i] += 0.3f * (float) random.nextGaussian();
      }
      return Floats.copyOf(values);
    }
  }

  /**
   * max(-A r, -A clip(r)) + 0.05 k3 - 0.01 H, averaged over tokens, in libtorch's own operations.
   */
  private static Tensor libtorchLoss(
      Tensor logits, Rollouts rollouts, float[] advantages, Floats old, Floats reference) {
    int rows = rollouts.targets().length;
    float[] tokenAdvantages = new float[rows];
    for (int i = 0; i < rows; i++) {
      tokenAdvantages[i] = advantages[i / 2];
    }
    Tensor all = torch.log_softmax(logits, 1);
    Tensor lp = all.gather(1, Tensors.of(rollouts.targets(), rows, 1)).reshape(rows);
    Tensor entropy = all.exp().mul(all).sum(1).neg();
    Tensor advantage = Tensors.of(tokenAdvantages);
    Tensor ratio = lp.sub(Tensors.of(old.toArray())).exp();
    Tensor clipped =
        torch.clamp(
            ratio, new ScalarOptional(new Scalar(0.8f)), new ScalarOptional(new Scalar(1.2f)));
    Tensor policy = torch.maximum(advantage.neg().mul(ratio), advantage.neg().mul(clipped)).mean();
    Tensor delta = Tensors.of(reference.toArray()).sub(lp);
    Tensor kl = delta.exp().sub(delta).sub(Tensors.of(new float[] {1f})).mean();
    return policy
        .add(kl.mul(Tensors.of(new float[] {0.05f})))
        .sub(entropy.mean().mul(Tensors.of(new float[] {0.01f})));
  }

  private static final PolicyLoss WITH_EVERYTHING =
      PolicyLoss.ppo()
          .withClip(0.2f, 0.2f)
          .withKl(KlEstimator.K3, 0.05)
          .withKlGradient(KlGradient.PATHWISE)
          .withEntropyBonus(0.01);

  @Test
  void parameterGradientsAreThoseOfLibtorchsOwnAutograd() {
    try (PointerScope scope = new PointerScope();
        ToyPolicy policy = new ToyPolicy(9)) {
      Rollouts rollouts = Rollouts.sample(policy, new Random(9));
      float[] advantages = rollouts.advantages();
      Tensor logits = rollouts.logits(policy);
      Floats old = off(logits, rollouts, 1);
      Floats reference = off(logits, rollouts, 2);
      Normalizer tokens = Normalizer.tokens(2 * SEQUENCES);
      TokenBatch batch = rollouts.batch(advantages).withOld(old).withReference(reference);
      double loss;
      try (LossResult result =
          WITH_EVERYTHING.forwardBackward(Torch.matrix(logits), batch, tokens)) {
        Torch.backward(logits, result.gradient());
        loss = result.loss();
      }
      float[][] ours = policy.parameters().stream().map(p -> gradient(p)).toArray(float[][]::new);
      policy.zeroGradients();
      Tensor theirs = libtorchLoss(rollouts.logits(policy), rollouts, advantages, old, reference);
      theirs.backward();
      assertThat(loss).isCloseTo(theirs.item_float(), within(1e-6));
      for (int i = 0; i < ours.length; i++) {
        assertClose(ours[i], gradient(policy.parameters().get(i)), 1e-5);
      }
    }
  }

  @Test
  void oneBatchIsFourMicroBatchesWithOneNormalizer() {
    try (PointerScope scope = new PointerScope();
        ToyPolicy policy = new ToyPolicy(10)) {
      Rollouts rollouts = Rollouts.sample(policy, new Random(10));
      float[] advantages = rollouts.advantages();
      Normalizer tokens = Normalizer.tokens(2 * SEQUENCES);
      double whole = accumulate(policy, rollouts, advantages, tokens);
      float[][] expected =
          policy.parameters().stream().map(p -> gradient(p)).toArray(float[][]::new);
      policy.zeroGradients();
      double sum = 0;
      int quarter = SEQUENCES / 4;
      for (int i = 0; i < 4; i++) {
        int from = i * quarter;
        sum +=
            accumulate(
                policy,
                rollouts.part(from, from + quarter),
                Arrays.copyOfRange(advantages, from, from + quarter),
                tokens);
      }
      assertThat(sum).isCloseTo(whole, within(1e-9));
      for (int i = 0; i < expected.length; i++) {
        assertClose(gradient(policy.parameters().get(i)), expected[i], 1e-6);
      }
    }
  }

  private static double accumulate(
      ToyPolicy policy, Rollouts rollouts, float[] advantages, Normalizer normalizer) {
    Tensor logits = rollouts.logits(policy);
    try (LossResult result =
        PolicyLoss.grpo()
            .forwardBackward(Torch.matrix(logits), rollouts.batch(advantages), normalizer)) {
      Torch.backward(logits, result.gradient());
      return result.loss();
    }
  }

  @Test
  void inPlaceGivesTheSameParameterGradients() {
    try (PointerScope scope = new PointerScope();
        ToyPolicy policy = new ToyPolicy(11)) {
      Rollouts rollouts = Rollouts.sample(policy, new Random(11));
      float[] advantages = rollouts.advantages();
      Normalizer tokens = Normalizer.tokens(2 * SEQUENCES);
      accumulate(policy, rollouts, advantages, tokens);
      float[][] expected =
          policy.parameters().stream().map(p -> gradient(p)).toArray(float[][]::new);
      policy.zeroGradients();
      Tensor logits = rollouts.logits(policy);
      Matrix view = Torch.matrix(logits);
      try (LossResult result =
          PolicyLoss.grpo().forwardBackwardInPlace(view, rollouts.batch(advantages), tokens)) {
        Torch.backward(logits, result.gradient());
      }
      for (int i = 0; i < expected.length; i++) {
        assertThat(gradient(policy.parameters().get(i))).containsExactly(expected[i]);
      }
    }
  }

  @Test
  void inPlaceUnderATanhSoftcapThrows() {
    try (PointerScope scope = new PointerScope();
        ToyPolicy policy = new ToyPolicy(12)) {
      Rollouts rollouts = Rollouts.sample(policy, new Random(12));
      // tanh keeps its output for the backward pass, and the loss has just written over it.
      Tensor logits = rollouts.logits(policy).tanh();
      try (LossResult result =
          PolicyLoss.grpo()
              .forwardBackwardInPlace(
                  Torch.matrix(logits),
                  rollouts.batch(rollouts.advantages()),
                  Normalizer.tokens(2 * SEQUENCES))) {
        assertThatThrownBy(() -> Torch.backward(logits, result.gradient()))
            .hasMessageContaining("modified by an inplace operation");
      }
    }
  }

  @Test
  void twoRootsAreTheSumOfTwoLosses() {
    try (PointerScope scope = new PointerScope();
        ToyPolicy policy = new ToyPolicy(13)) {
      Rollouts rollouts = Rollouts.sample(policy, new Random(13));
      float[] advantages = rollouts.advantages();
      Normalizer tokens = Normalizer.tokens(2 * SEQUENCES);
      accumulate(policy, rollouts, advantages, tokens);
      rollouts.logits(policy).mul(rollouts.logits(policy)).mean().backward();
      float[][] expected =
          policy.parameters().stream().map(p -> gradient(p)).toArray(float[][]::new);
      policy.zeroGradients();
      Tensor logits = rollouts.logits(policy);
      Tensor penalty = logits.mul(logits).mean();
      try (LossResult result =
          PolicyLoss.grpo()
              .forwardBackward(Torch.matrix(logits), rollouts.batch(advantages), tokens)) {
        Torch.backward(Root.of(logits, result.gradient()), Root.loss(penalty));
      }
      for (int i = 0; i < expected.length; i++) {
        assertClose(gradient(policy.parameters().get(i)), expected[i], 1e-6);
      }
    }
  }

  /** Within {@code tolerance} of the largest expected value, which must not be 0. */
  private static void assertClose(float[] actual, float[] expected, double tolerance) {
    double largest = 0;
    for (float e : expected) {
      largest = Math.max(largest, Math.abs(e));
    }
    assertThat(largest).isPositive();
    assertThat(actual).hasSameSizeAs(expected);
    for (int i = 0; i < actual.length; i++) {
      assertThat((double) actual[i]).isCloseTo(expected[i], within(tolerance * largest));
    }
  }
}
