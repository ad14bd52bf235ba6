package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import dev.polka.kernel.TokenReturns;
import dev.polka.kernel.TokenReturnsInput;
import dev.polka.kernel.TokenReturnsResult;
import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;

/** Token returns of a batch, through the kernel: f32 numbers, summed in f64. */
final class RewardToGo {
  private RewardToGo() {}

  /** Returns of the sequences that have a reward; 0 in the others and where no row counts. */
  static double[] discounted(RewardBatch batch, double gamma) {
    TokenLayout layout = batch.rewarded();
    try (Floats rewards = Advantages.floats(batch.tokenRewards());
        Longs offsets = layout.offsets();
        Bytes mask = layout.mask();
        TokenReturnsResult result =
            TokenReturns.discounted(gamma)
                .forward(TokenReturnsInput.of(rewards, offsets).withMask(mask))) {
      return widened(result.returns());
    }
  }

  static double[] widened(Floats values) {
    float[] narrow = values.toArray();
    double[] wide = new double[narrow.length];
    for (int i = 0; i < wide.length; i++) {
      wide[i] = narrow[i];
    }
    return wide;
  }
}
