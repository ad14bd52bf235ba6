package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.TokenBatch;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.Accuracy;
import dev.polka.reference.FiniteDifference;
import dev.polka.reference.Storage;
import org.junit.jupiter.api.Test;

class GvpoTest {
  private static final Gvpo GVPO = new Gvpo(0.5f);
  private static final TokenLayout LAYOUT =
      TokenLayout.ofLengths(2, 1, 3, 2).withMask(true, true, true, true, false, true, true, true);

  /** A group of three, and one alone. */
  private static final TokenLayout GROUPS = TokenLayout.ofLengths(3, 1);

  private static final double[] LOG_PROB = {-1, -0.5, -2, -1.25, -9, -0.75, -1, -1.5};
  private static final double[] OLD = {-0.75, -1, -1, -1.5, -3, -0.5, -2, -1.75};
  private static final double[] REWARDS = {1, 0, 0.5, 3};

  /** The formula as it stands, with the group's mean of beta D frozen. */
  private static double loss(double[] logProb, double[] frozen) {
    double loss = 0;
    double mean = 0;
    double meanReward = 0;
    for (int i = 0; i < 3; i++) {
      mean += 0.5 * sum(frozen, i) / 3;
      meanReward += REWARDS[i] / 3;
    }
    for (int i = 0; i < 3; i++) {
      double residual = 0.5 * sum(logProb, i) - mean - (REWARDS[i] - meanReward);
      loss += residual * residual / (2 * (3 - 1));
    }
    return loss;
  }

  private static double sum(double[] logProb, int sequence) {
    double sum = 0;
    for (int row = LAYOUT.first(sequence); row < LAYOUT.end(sequence); row++) {
      sum += LAYOUT.counts(row) ? logProb[row] - OLD[row] : 0;
    }
    return sum;
  }

  @Test
  void theLossAndItsGradientAreThoseOfTheFormula() {
    float[] targets = GVPO.targets(LAYOUT, GROUPS, LOG_PROB, OLD, REWARDS);
    try (Floats logProb = Floats.copyOf(Storage.toF32(LOG_PROB));
        Floats old = Floats.copyOf(Storage.toF32(OLD));
        Floats advantages = Floats.copyOf(targets);
        Floats weights = Floats.copyOf(GVPO.weights(LAYOUT, GROUPS));
        Longs counts = Longs.copyOf(LAYOUT.tokenCounts())) {
      TokenBatch batch =
          TokenBatch.ofOffsets(LAYOUT.offsets())
              .withMask(LAYOUT.mask())
              .withOld(old)
              .withWeights(weights)
              .withSequenceAdvantages(advantages);

      LossResult result =
          GVPO.loss().forwardBackward(logProb, null, batch, Normalizer.sequences(1, counts));

      Accuracy.assertWithin("loss", result.loss(), loss(LOG_PROB, LOG_PROB), 1e-6);
      double[] expected = FiniteDifference.gradient(x -> loss(x, LOG_PROB), LOG_PROB, 1e-3);
      float[] actual = result.logProbGradient().toArray();
      for (int row = 0; row < expected.length; row++) {
        Accuracy.assertWithin("row " + row, actual[row], expected[row], 1e-6);
      }
      result.close();
    }
  }

  @Test
  void aGroupOfOneTeachesNothing() {
    assertThat(GVPO.weights(LAYOUT, GROUPS))
        .containsExactly(0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0, 0);
  }
}
