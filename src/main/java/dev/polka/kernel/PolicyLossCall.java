package dev.polka.kernel;

import dev.polka.kernel.internal.MatrixStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.PolicyLossStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;
import java.util.Objects;

/** The two native calls behind {@link PolicyLoss}: from logits, and from log-probs. */
final class PolicyLossCall {
  private PolicyLossCall() {}

  static LossResult fill(
      PolicyLoss loss,
      TokenBatch batch,
      Normalizer normalizer,
      LossResult out,
      Matrix logits,
      Matrix gradient) {
    try {
      run(loss, batch, normalizer, logits, gradient, out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  static LossResult fill(
      PolicyLoss loss,
      TokenBatch batch,
      Normalizer normalizer,
      LossResult out,
      Floats logProb,
      Floats entropy) {
    try {
      run(loss, batch, normalizer, logProb, entropy, out);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /** From logits; the gradient is the logits themselves (in place), another matrix, or null. */
  static void run(
      PolicyLoss loss,
      TokenBatch batch,
      Normalizer normalizer,
      Matrix logits,
      Matrix gradient,
      LossResult out) {
    Objects.requireNonNull(logits, "logits");
    Objects.requireNonNull(batch, "batch");
    Objects.requireNonNull(normalizer, "normalizer");
    Objects.requireNonNull(out, "out");
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(PolicyLossStruct.SIZE);
      call.in("logits", logits, PolicyLossStruct.LOGITS);
      if (gradient == logits) {
        call.inPlace("logits", logits, PolicyLossStruct.D_LOGITS);
      } else if (gradient != null) {
        call.out("gradient", gradient, PolicyLossStruct.D_LOGITS);
      }
      batch.targets().write(call, struct, PolicyLossStruct.TARGETS, logits.rows());
      loss.options.softmax().write(call, struct, PolicyLossStruct.SOFTMAX, logits);
      writeObjective(loss, batch, normalizer, call, struct, logits.rows());
      out.writeRows(call, logits.rows());
      call.exec(loss.options.threads());
      int status = PolkaNative.polka_policy_loss_workspace(call.policyLoss());
      NativeStatus.check(status, logits.device());
      call.provideWorkspace();
      status = PolkaNative.polka_policy_loss(call.policyLoss());
      NativeStatus.check(status, logits.device());
      call.completed();
      out.wrote(gradient, call.ranTarget());
    } finally {
      call.exit();
    }
  }

  /** From log-probs; the gradients are those that {@code out} has room for. */
  static void run(
      PolicyLoss loss,
      TokenBatch batch,
      Normalizer normalizer,
      Floats logProb,
      Floats entropy,
      LossResult out) {
    Objects.requireNonNull(logProb, "logProb");
    Objects.requireNonNull(batch, "batch");
    Objects.requireNonNull(normalizer, "normalizer");
    Objects.requireNonNull(out, "out");
    if (entropy == null && loss.objective.needsEntropy()) {
      throw new IllegalArgumentException(
          "entropy: is missing, but there is an entropy bonus or an entropy threshold");
    }
    long rows = logProb.size();
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(PolicyLossStruct.SIZE);
      struct.putLong(PolicyLossStruct.LOGITS + MatrixStruct.ROWS, rows);
      call.in("logProb", logProb, rows, PolicyLossStruct.LOG_PROB);
      call.in("entropy", entropy, rows, PolicyLossStruct.ENTROPY);
      batch.writeMask(call, struct, PolicyLossStruct.TARGETS, rows);
      writeObjective(loss, batch, normalizer, call, struct, rows);
      out.writeTokenGradients(call, rows);
      call.exec(loss.options.threads());
      int status = PolkaNative.polka_policy_loss_from_log_prob_workspace(call.policyLoss());
      NativeStatus.check(status, logProb.device());
      call.provideWorkspace();
      status = PolkaNative.polka_policy_loss_from_log_prob(call.policyLoss());
      NativeStatus.check(status, logProb.device());
      call.completed();
      out.wrote(null, call.ranTarget());
    } finally {
      call.exit();
    }
  }

  private static void writeObjective(
      PolicyLoss loss,
      TokenBatch batch,
      Normalizer normalizer,
      NativeCall call,
      ByteBuffer struct,
      long rows) {
    if (loss.objective.kl().estimator() != null) {
      batch.requireReference();
    }
    long sequences = batch.sequences();
    batch.write(call, struct, PolicyLossStruct.BATCH, rows);
    loss.objective.write(struct, PolicyLossStruct.OBJECTIVE);
    normalizer.write(call, "normalizer", struct, PolicyLossStruct.NORMALIZER, sequences);
    batch
        .entropyNormalizer(normalizer)
        .write(call, "entropyNormalizer", struct, PolicyLossStruct.ENTROPY_NORMALIZER, sequences);
    batch
        .likelihoodNormalizer(normalizer)
        .write(call, "likelihoodNormalizer", struct, PolicyLossStruct.NLL_NORMALIZER, sequences);
    struct.putFloat(PolicyLossStruct.GRADIENT_SCALE, loss.options.gradientScale());
  }
}
