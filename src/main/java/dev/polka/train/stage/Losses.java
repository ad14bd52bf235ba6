package dev.polka.train.stage;

import dev.polka.kernel.Normalizer;
import dev.polka.memory.Floats;
import dev.polka.train.config.OnPolicyDistillation;
import dev.polka.train.config.PolicyObjective;
import org.bytedeco.pytorch.Tensor;

/**
 * The losses of the stages. Each takes the logits of a micro-batch's response rows, adds the
 * gradient of its loss into the model's parameters, and returns what it found.
 *
 * <p>{@link PolkaLosses} computes them with Polka's kernels, {@link LibtorchLosses} with libtorch's
 * own operations and autograd, for comparison. One thread at a time.
 */
interface Losses {

  /** Cross-entropy of the response tokens, divided by {@code tokens}. */
  LossSums crossEntropy(MicroBatch batch, Tensor logits, long tokens);

  /**
   * What a policy update works with beside the logits.
   *
   * @param objective the loss
   * @param temperature of sampling
   * @param advantages one per sequence
   * @param old log-probs under the policy that sampled, or null where it is the present one
   * @param reference log-probs under the reference, or null
   * @param normalizer what the sum over tokens is divided by
   */
  record PolicyTerms(
      PolicyObjective objective,
      double temperature,
      Floats advantages,
      Floats old,
      Floats reference,
      Normalizer normalizer) {}

  /** The clipped policy loss. */
  LossSums policy(MicroBatch batch, Tensor logits, PolicyTerms terms);

  /**
   * A divergence to the teacher's distribution over the whole vocabulary, divided by {@code
   * tokens}.
   *
   * @param kind which one, not SAMPLED_TOKEN
   * @param beta for JSD
   * @param temperature of both distributions
   * @param teacherLogits like {@code logits}, without a graph
   * @param weight per row, or null
   */
  LossSums divergence(
      MicroBatch batch,
      Tensor logits,
      OnPolicyDistillation.Divergence kind,
      double beta,
      double temperature,
      Tensor teacherLogits,
      Floats weight,
      long tokens);

  /**
   * The reverse KL estimated from the sampled tokens: the reward {@code target - log-prob} of each
   * token, weighted by the truncated ratio to the sampling policy, as a policy gradient.
   *
   * @param temperature of sampling
   * @param target log-probs that the student moves towards
   * @param old log-probs under the policy that sampled
   * @param importanceClip most of the ratio
   */
  LossSums sampledToken(
      MicroBatch batch,
      Tensor logits,
      double temperature,
      Floats target,
      Floats old,
      double importanceClip,
      long tokens);
}
