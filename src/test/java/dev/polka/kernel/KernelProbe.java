package dev.polka.kernel;

import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import java.util.Arrays;

/** Takes a policy-gradient step on one token and prints it, and whether libtorch is there. */
final class KernelProbe {
  private KernelProbe() {}

  public static void main(String[] arguments) {
    System.out.println("libtorch " + (isThere() ? "there" : "absent"));
    try (Matrix logits = Matrix.copyOf(DType.F32, 1, 2, 0, 0);
        Longs targets = Longs.copyOf(1);
        Longs offsets = Longs.copyOf(0, 1);
        Floats advantages = Floats.copyOf(1);
        LossResult result =
            PolicyLoss.grpo()
                .forwardBackward(
                    logits,
                    TokenBatch.of(targets, offsets).withAdvantages(advantages),
                    Normalizer.tokens(1))) {
      System.out.println("loss " + result.loss());
      System.out.println("gradient " + Arrays.toString(result.gradient().toArray()));
    }
  }

  private static boolean isThere() {
    try {
      Class.forName("org.bytedeco.pytorch.Tensor");
      return true;
    } catch (ClassNotFoundException absent) {
      return false;
    }
  }
}
