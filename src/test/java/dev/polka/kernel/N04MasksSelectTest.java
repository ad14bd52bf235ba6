package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.ReferenceTokenKl.Estimator;
import dev.polka.reference.ReferenceTokenKl.Gradient;
import dev.polka.reference.SameBits;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** N4: masks select, they never multiply: what stands under one changes nothing, bit for bit. */
class N04MasksSelectTest {
  private static final float[] ONES = {1, 1, 1, 1};

  @ParameterizedTest
  @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
  void aMaskedRowMayHoldAnything(float poison) {
    Logits logits = Logits.normal(4, 777, 1);
    LogProbCase clean =
        LogProbCase.of(logits, PLAIN, 5, 6, 7, -100).withMask(true, false, true, true);
    LogProbCase poisoned = clean.withLogits(logits.withRow(1, poison).withRow(3, poison));
    SameBits.assertSame(poisoned.forward(), clean.forward());
    SameBits.assertSame(
        "gradient", poisoned.backward(ONES, ONES, ONES), clean.backward(ONES, ONES, ONES));
  }

  @ParameterizedTest
  @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
  void aColumnThatIsNotKeptMayHoldAnything(float poison) {
    boolean[] keep = Noise.of(2).booleans(5003, 0.5);
    ReferenceSoftmax softmax = PLAIN.withKeep(keep);
    Logits logits = Logits.normal(4, 5003, 3);
    long[] targets = Noise.of(4).indices(4, 5003);
    float[] values = logits.values().clone();
    for (int i = 0; i < values.length; i++) {
      boolean hidden = !keep[i % 5003] && i % 5003 != targets[i / 5003];
      values[i] = hidden ? poison : values[i];
    }
    LogProbCase clean = LogProbCase.of(logits, softmax, targets);
    LogProbCase poisoned = clean.withLogits(logits.with(values));
    SameBits.assertSame(poisoned.forward(), clean.forward());
    SameBits.assertSame(
        "gradient", poisoned.backward(ONES, ONES, ONES), clean.backward(ONES, ONES, ONES));
  }

  @ParameterizedTest
  @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
  void aColumnBeyondTheValidVocabularyMayHoldAnything(float poison) {
    Logits logits = Logits.normal(4, 515, 5);
    float[] values = logits.values().clone();
    for (int i = 0; i < values.length; i++) {
      values[i] = i % 515 >= 500 ? poison : values[i];
    }
    LogProbCase clean = LogProbCase.of(logits, PLAIN.withValidVocab(500), 1, 2, 3, 499);
    LogProbCase poisoned = clean.withLogits(logits.with(values));
    SameBits.assertSame(poisoned.forward(), clean.forward());
    float[] gradient = poisoned.backward(ONES, ONES, ONES);
    assertThat(gradient).isEqualTo(clean.backward(ONES, ONES, ONES));
    assertThat(gradient[514]).isZero();
  }

  @ParameterizedTest
  @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY})
  void aMaskedTokenMayHoldAnything(double poison) {
    ReferenceObjective objective =
        ReferenceObjective.PPO.withKl(Estimator.K3, Gradient.PATHWISE, 0.1).withEntropyBonus(0.1);
    ReferenceBatch clean = PolicyBatches.batch(6, 0.3);
    ReferenceBatch poisoned =
        new ReferenceBatch(
            clean.offsets(),
            under(clean.mask(), clean.logProb(), poison),
            under(clean.mask(), clean.entropy(), poison),
            under(clean.mask(), clean.old(), poison),
            under(clean.mask(), clean.ref(), poison),
            under(clean.mask(), clean.advantages(), poison),
            under(clean.mask(), clean.weights(), poison),
            clean.mask(),
            clean.divisor(),
            clean.sequenceTokens(),
            clean.entropyDivisor(),
            clean.entropySequenceTokens());
    for (ReferenceObjective o :
        new ReferenceObjective[] {
          objective, objective.withSequenceRatio(true), objective.withSequenceRatio(false)
        }) {
      SameBits.assertSame(
          PolicyLossCase.of(o, poisoned).fromLogProbs(),
          PolicyLossCase.of(o, clean).fromLogProbs());
    }
  }

  private static double[] under(boolean[] mask, double[] values, double poison) {
    double[] poisoned = values.clone();
    for (int t = 0; t < poisoned.length; t++) {
      poisoned[t] = mask[t] ? poisoned[t] : poison;
    }
    return poisoned;
  }
}
