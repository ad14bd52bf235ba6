package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Ints;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import org.junit.jupiter.api.Test;

class LogProbTest {
  private static final float LN2 = (float) Math.log(2);

  /** Probabilities 1/4, 1/4, 1/2; then 1/2, 1/2, 0. */
  private static Matrix logits() {
    float none = Float.NEGATIVE_INFINITY;
    return Matrix.copyOf(DType.F32, 2, 3, 0, 0, LN2, 5, 5, none);
  }

  private static final Targets TARGETS = Targets.of(Longs.copyOf(2, 0));

  @Test
  void logProbsAndTheirPartsAreThoseOfTheSoftmax() {
    try (Matrix logits = logits();
        LogProbs out = LogProb.plain().forward(logits, TARGETS)) {
      assertThat(out.logProb().get(0)).isCloseTo(-LN2, within(1e-6f));
      assertThat(out.logProb().get(1)).isCloseTo(-LN2, within(1e-6f));
      assertThat(out.max().toArray()).containsExactly(LN2, 5);
      assertThat(out.logSum().get(1)).isCloseTo(LN2, within(1e-6f));
      assertThat(out.lse().get(1)).isCloseTo(5 + LN2, within(1e-6f));
      assertThat(out.target()).isEqualTo(Backend.target());
    }
  }

  @Test
  void everyExtraOutputHasItsValue() {
    LogProb operation =
        LogProb.plain()
            .withEntropy()
            .withSumP2()
            .withSelfCertainty()
            .withTopProbabilities()
            .withSecondTemperature(0.5f);
    try (Matrix logits = logits();
        LogProbs out = operation.forward(logits, TARGETS)) {
      assertThat(out.entropy().get(0)).isCloseTo(1.5f * LN2, within(1e-6f));
      assertThat(out.sumP2().get(0)).isCloseTo(0.375f, within(1e-6f));
      assertThat(out.meanLogit().get(0)).isCloseTo(LN2 / 3, within(1e-6f));
      assertThat(out.selfCertainty().get(0))
          .isCloseTo((float) (5 * Math.log(2) / 3 - Math.log(3)), within(1e-6f));
      assertThat(out.top1().toArray()).containsExactly(new float[] {0.5f, 0.5f}, within(1e-6f));
      assertThat(out.top2().toArray()).containsExactly(new float[] {0.25f, 0.5f}, within(1e-6f));
      assertThat(out.secondLogProb().get(0)).isCloseTo((float) Math.log(4 / 6.0), within(1e-6f));
    }
  }

  @Test
  void anOutputThatWasNotAskedForIsNamed() {
    try (Matrix logits = logits();
        LogProbs out = LogProb.plain().withSumP2().forward(logits, TARGETS)) {
      assertThatThrownBy(out::entropy)
          .isInstanceOf(IllegalStateException.class)
          .hasMessage(
              "LogProbs: entropy was not asked for; there are logProb, max, logSum, lse, sumP2");
    }
  }

  @Test
  void temperatureSoftcapKeepMaskAndValidVocabShapeTheDistribution() {
    KeepMask keep = KeepMask.copyOf(new boolean[][] {{false, true, true}, {true, true, true}});
    try (Matrix logits = logits();
        Floats temperatures = Floats.copyOf(0.5f, 2f);
        LogProbs hot = LogProb.atTemperature(0.5f).forward(logits, TARGETS);
        LogProbs each = LogProb.plain().withRowTemperature(temperatures).forward(logits, TARGETS);
        LogProbs capped = LogProb.plain().withSoftcap(1).forward(logits, TARGETS);
        LogProbs kept = LogProb.plain().withKeepMask(keep).forward(logits, TARGETS);
        LogProbs valid =
            LogProb.plain().withValidVocab(2).forward(logits, Targets.of(Longs.copyOf(1, 1)))) {
      assertThat(hot.logProb().get(0)).isCloseTo((float) Math.log(4 / 6.0), within(1e-6f));
      assertThat(each.logProb().get(0)).isEqualTo(hot.logProb().get(0));
      double y = Math.tanh(LN2);
      assertThat(capped.logProb().get(0))
          .isCloseTo((float) (y - Math.log(2 + Math.exp(y))), within(1e-6f));
      assertThat(kept.logProb().get(0)).isCloseTo((float) Math.log(2 / 3.0), within(1e-6f));
      assertThat(valid.logProb().get(0)).isCloseTo(-LN2, within(1e-6f));
    }
  }

  @Test
  void skippedRowsGiveZeroAndAreNotRead() {
    Targets targets =
        Targets.of(Ints.copyOf(7, 1, 2))
            .withIgnoreIndex(7)
            .withMask(Bytes.copyOf(true, false, true));
    try (Matrix logits =
            Matrix.copyOf(DType.F32, 3, 3, Float.NaN, 0, 0, Float.NaN, 0, 0, 0, 0, LN2);
        LogProbs out = LogProb.plain().forward(logits, targets)) {
      assertThat(out.logProb().get(0)).isZero();
      assertThat(out.logProb().get(1)).isZero();
      assertThat(out.logProb().get(2)).isCloseTo(-LN2, within(1e-6f));
    }
  }

  @Test
  void theGradientIsThatOfTheSoftmax() {
    LogProbGradients upstream = LogProbGradients.of(Floats.copyOf(1, 2));
    LogProb operation = LogProb.plain().withGradientScale(4);
    try (Matrix logits = logits();
        LogProbs saved = operation.forward(logits, TARGETS);
        Matrix gradient = operation.backward(logits, TARGETS, saved, upstream)) {
      assertThat(gradient.toArray())
          .containsExactly(new float[] {-1, -1, 2, 4, -4, 0}, within(1e-5f));

      operation.backwardInPlace(logits, TARGETS, saved, upstream);
      assertThat(logits.toArray()).containsExactly(gradient.toArray());
    }
  }

  @Test
  void entropyAndSelfCertaintyHaveGradients() {
    LogProb operation = LogProb.plain().withEntropy().withSelfCertainty();
    Targets first = Targets.of(Longs.copyOf(0));
    Floats one = Floats.copyOf(1);
    try (Matrix logits = Matrix.copyOf(DType.F32, 1, 3, 0, 0, LN2);
        LogProbs saved = operation.forward(logits, first);
        Matrix entropy = operation.backward(logits, first, saved, LogProbGradients.ofEntropy(one));
        Matrix certainty =
            operation.backward(logits, first, saved, LogProbGradients.ofSelfCertainty(one));
        Matrix both =
            operation.backward(
                logits,
                first,
                saved,
                LogProbGradients.of(one).withEntropy(one).withSelfCertainty(one))) {
      // -p (ln p + H) with H = 1.5 ln 2, and p - 1/n.
      assertThat(entropy.get(0, 2)).isCloseTo(-0.25f * LN2, within(1e-6f));
      assertThat(certainty.get(0, 2)).isCloseTo(0.5f - 1 / 3f, within(1e-6f));
      assertThat(both.get(0, 2)).isCloseTo(-0.5f - 0.25f * LN2 + 0.5f - 1 / 3f, within(1e-6f));
    }
  }

  @Test
  void aGradientOfAnOutputThatWasNotSavedIsRefused() {
    LogProbGradients upstream = LogProbGradients.ofEntropy(Floats.copyOf(1, 1));
    try (Matrix logits = logits();
        LogProbs saved = LogProb.plain().forward(logits, TARGETS)) {
      assertThatThrownBy(() -> LogProb.plain().backward(logits, TARGETS, saved, upstream))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("saved: has no entropy, which upstream needs; make it by withEntropy()");
    }
  }

  @Test
  void aResultMadeForOtherOutputsIsRefused() {
    try (Matrix logits = logits();
        LogProbs out = LogProb.plain().allocate(logits)) {
      assertThatThrownBy(() -> LogProb.plain().withEntropy().forward(logits, TARGETS, out))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage(
              "out: has room for logProb, max, logSum, lse; the operation computes logProb, max,"
                  + " logSum, lse, entropy");
    }
  }

  @Test
  void aTargetOutsideTheVocabularyIsNamedBeforeAnythingIsWritten() {
    LogProb operation = LogProb.plain();
    try (Matrix logits = logits();
        LogProbs out = operation.allocate(logits)) {
      out.logProb().set(0, 9);
      assertThatThrownBy(() -> operation.forward(logits, Targets.of(Longs.copyOf(0, 3)), out))
          .isInstanceOf(IndexOutOfBoundsException.class)
          .hasMessage("targets: target 3 of row 1 is outside the vocabulary [0, 3)");
      assertThat(out.logProb().get(0)).isEqualTo(9);
    }
  }

  @Test
  void aGradientThatIsTheLogitsIsRefusedUnlessAskedForInPlace() {
    LogProbGradients upstream = LogProbGradients.of(Floats.copyOf(1, 1));
    try (Matrix logits = logits();
        LogProbs saved = LogProb.plain().forward(logits, TARGETS)) {
      assertThatThrownBy(() -> LogProb.plain().backward(logits, TARGETS, saved, upstream, logits))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("overlaps that of logits");
    }
  }

  @Test
  void aGradientOfAnotherShapeIsRefused() {
    LogProbGradients upstream = LogProbGradients.of(Floats.copyOf(1, 1));
    try (Matrix logits = logits();
        Matrix out = Matrix.allocate(DType.F32, 2, 4);
        LogProbs saved = LogProb.plain().forward(logits, TARGETS)) {
      assertThatThrownBy(() -> LogProb.plain().backward(logits, TARGETS, saved, upstream, out))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("out: is [2, 4], the logits are [2, 3]");
    }
  }

  @Test
  void optionsOutOfRangeAreNamed() {
    assertThatThrownBy(() -> LogProb.atTemperature(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("temperature: 0.0 is not finite and >= 1.17549435E-38");
    assertThatThrownBy(() -> LogProb.plain().withSoftcap(Float.NaN))
        .hasMessage("softcap: NaN is not finite and > 0");
    assertThatThrownBy(() -> LogProb.plain().withThreads(-1)).hasMessage("threads: -1 is negative");
    assertThatThrownBy(() -> LogProb.plain().withGradientScale(0))
        .hasMessageContaining("gradientScale");
    assertThatThrownBy(() -> LogProb.plain().withValidVocab(0)).hasMessageContaining("validVocab");
    try (Matrix logits = logits()) {
      assertThatThrownBy(() -> LogProb.plain().withValidVocab(4).forward(logits, TARGETS))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("validVocab: 4 is more than the 3 columns");
    }
  }
}
