package dev.polka.kernel;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * N2: log-probs are {@code (z_t - max) - log_sum}, entropies come from shifted sums and gradients
 * from the saved pair. Through an f32 lse an offset of 1e4 costs 5e-4; the bar here is 1e-6.
 */
class N02ShiftedSumsTest {
  @ParameterizedTest
  @ValueSource(doubles = {-1e4, -100, 0, 100, 1e4})
  void aCommonOffsetCostsNoDigits(double offset) {
    for (int vocabulary : new int[] {2, 17, 4097, 50257}) {
      Logits logits = Logits.normal(Storage.F32, 4, vocabulary, 3, offset, 3);
      LogProbCase c =
          LogProbCase.of(logits, ReferenceSoftmax.PLAIN, Noise.of(4).indices(4, vocabulary));
      c.assertForward();
      c.assertBackward();
    }
  }
}
