package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.memory.Bytes;
import dev.polka.memory.DType;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import org.junit.jupiter.api.Test;

class PolicyLossTest {
  private static final double LN2 = Math.log(2);
  private static final Longs OFFSETS = Longs.copyOf(0, 2, 3);

  /** Three tokens in two sequences; the ratios are 1.5, 1 and 0.5. */
  private static final Floats LOG_PROB = Floats.copyOf(-1, -2, -3);

  private static TokenBatch batch() {
    Floats old = Floats.copyOf(-1 - (float) Math.log(1.5), -2, -3 + (float) LN2);
    return TokenBatch.ofOffsets(OFFSETS)
        .withOld(old)
        .withReference(Floats.copyOf(-1.5f, -2, -3))
        .withAdvantages(Floats.copyOf(2, -1));
  }

  private static LossResult run(PolicyLoss loss, TokenBatch batch, Normalizer normalizer) {
    Floats entropy = Floats.copyOf(1, 2, 3);
    return loss.forwardBackward(LOG_PROB, entropy, batch, normalizer);
  }

  private static double loss(PolicyLoss loss, TokenBatch batch, Normalizer normalizer) {
    try (LossResult r = run(loss, batch, normalizer)) {
      return r.loss();
    }
  }

  @Test
  void ratiosAreClippedOnTheirOwnSide() {
    try (LossResult r = run(PolicyLoss.ppo(), batch(), Normalizer.none())) {
      // -2 * 1.2 (clipped), -2 * 1, 1 * 0.8 (clipped).
      assertThat(r.loss()).isCloseTo(-2.4 - 2 + 0.8, within(1e-6));
      assertThat(r.logProbGradient().toArray()).containsExactly(0, -2, 0);
    }
  }

  @Test
  void presetsDifferInTheirBounds() {
    assertThat(loss(PolicyLoss.dapo(), batch(), Normalizer.none()))
        .isCloseTo(-2.56 - 2 + 0.8, within(1e-6));
    assertThat(loss(PolicyLoss.grpo(), batch(), Normalizer.none()))
        .isEqualTo(loss(PolicyLoss.drGrpo(), batch(), Normalizer.none()));
    assertThat(loss(PolicyLoss.ppo().withoutClip(), batch(), Normalizer.none()))
        .isCloseTo(-3 - 2 + 0.5, within(1e-6));
    assertThat(loss(PolicyLoss.ppo().withClip(0.6f, 0.1f), batch(), Normalizer.none()))
        .isCloseTo(-2.2 - 2 + 0.5, within(1e-6));
  }

  @Test
  void dualAndTwoSidedClipsBoundTheRest() {
    TokenBatch negative = batch().withSequenceAdvantages(Floats.copyOf(-1, 0));

    assertThat(loss(PolicyLoss.ppo(), negative, Normalizer.none())).isCloseTo(2.5, within(1e-6));
    assertThat(loss(PolicyLoss.ppo().withDualClip(1.25f), negative, Normalizer.none()))
        .isCloseTo(2.25, within(1e-6));
    assertThat(loss(PolicyLoss.ppo().withTwoSidedClip(1.3f), negative, Normalizer.none()))
        .isCloseTo(2.3, within(1e-6));
  }

  @Test
  void aSequenceRatioIsSharedByItsTokens() {
    PolicyLoss loss = PolicyLoss.gspo().withoutClip();
    double shared = Math.sqrt(1.5);

    try (LossResult through = run(loss, batch(), Normalizer.none());
        LossResult detached =
            run(
                loss.withSequenceGradient(SequenceGradient.TOKEN_DETACHED),
                batch(),
                Normalizer.none())) {
      assertThat(through.loss()).isCloseTo(-4 * shared + 0.5, within(1e-6));
      assertThat(through.logProbGradient().get(0)).isCloseTo((float) (-2 * shared), within(1e-6f));
      assertThat(detached.logProbGradient().get(0)).isCloseTo((float) (-2 * shared), within(1e-6f));
    }
    assertThat(loss(loss.withRatio(RatioLevel.TOKEN), batch(), Normalizer.none()))
        .isCloseTo(-3 - 2 + 0.5, within(1e-6));
    assertThat(loss(loss.withSequenceMaxLogRatio(0.1f), batch(), Normalizer.none()))
        .isCloseTo(-4 * Math.exp(0.1) + 0.5, within(1e-6));
  }

  @Test
  void klAndEntropyTermsAreAdded() {
    PolicyLoss loss = PolicyLoss.ppo().withKl(KlEstimator.K2, 0.1).withEntropyBonus(0.01);

    try (LossResult r = run(loss, batch(), Normalizer.none())) {
      PolicyLossMetrics m = r.metrics();
      assertThat(m.klLoss()).isCloseTo(0.125, within(1e-9));
      assertThat(m.entropyLoss()).isEqualTo(6);
      assertThat(r.loss()).isCloseTo(-3.6 + 0.0125 - 0.06, within(1e-6));
      assertThat(r.logProbGradient().get(0)).isCloseTo(0.05f, within(1e-7f));
      assertThat(r.entropyGradient().toArray())
          .containsExactly(new float[] {-0.01f, -0.01f, -0.01f}, within(1e-9f));
    }
  }

  @Test
  void theGradientOfTheKlTermIsTheUnbiasedOneUnlessChosen() {
    PolicyLoss loss = PolicyLoss.ppo().withKl(KlEstimator.K3, 1);
    PolicyLoss pathwise = loss.withKlGradient(KlGradient.PATHWISE);
    PolicyLoss bounded = pathwise.withK3Max(1e-3f);

    try (LossResult r = run(loss, batch(), Normalizer.none());
        LossResult p = run(pathwise, batch(), Normalizer.none());
        LossResult b = run(bounded, batch(), Normalizer.none())) {
      assertThat(r.logProbGradient().get(0)).isCloseTo(0.5f, within(1e-6f));
      assertThat(p.logProbGradient().get(0)).isCloseTo((float) (1 - Math.exp(-0.5)), within(1e-6f));
      assertThat(b.logProbGradient().get(0)).isZero();
      assertThat(b.metrics().klLoss()).isCloseTo(1e-3, within(1e-9));
    }
  }

  @Test
  void everyNormalizerDividesAsNamed() {
    PolicyLoss loss = PolicyLoss.ppo();
    double first = -4.4;
    double second = 0.8;
    TokenBatch batch = batch();
    try (Longs counts = batch.countTokens()) {
      assertThat(counts.toArray()).containsExactly(2, 1);
      assertThat(loss(loss, batch, Normalizer.tokens(3)))
          .isCloseTo((first + second) / 3, within(1e-6));
      assertThat(loss(loss, batch, Normalizer.sequences(2, counts)))
          .isCloseTo((first / 2 + second) / 2, within(1e-6));
      assertThat(loss(loss, batch, Normalizer.sequenceSums(2)))
          .isCloseTo((first + second) / 2, within(1e-6));
      assertThat(loss(loss, batch, Normalizer.constant(7)))
          .isCloseTo((first + second) / 7, within(1e-6));
      assertThat(loss(loss, batch, Normalizer.tokens(0))).isZero();
      assertThat(
              loss(
                  PolicyLoss.ppo().withEntropyBonus(1),
                  batch.withEntropyNormalizer(Normalizer.tokens(6)),
                  Normalizer.none()))
          .isCloseTo(first + second - 1, within(1e-6));
    }
  }

  @Test
  void metricsAreFractionsAndMeansOfTokensThatCount() {
    try (LossResult r =
        run(
            PolicyLoss.ppo().withKl(KlEstimator.K1, 0),
            batch().withMask(Bytes.copyOf(true, false, true)),
            Normalizer.none())) {
      PolicyLossMetrics m = r.metrics();
      assertThat(m.tokens()).isEqualTo(2);
      assertThat(m.sequences()).isEqualTo(2);
      assertThat(m.clipFraction()).isEqualTo(1);
      assertThat(m.clipFractionHigh()).isEqualTo(0.5);
      assertThat(m.clipFractionLow()).isEqualTo(0.5);
      assertThat(m.dualClipFraction()).isZero();
      assertThat(m.ratioMean()).isCloseTo(1, within(1e-6));
      assertThat(m.ratioMin()).isCloseTo(0.5, within(1e-6));
      assertThat(m.ratioMax()).isCloseTo(1.5, within(1e-6));
      assertThat(m.approxKl()).isCloseTo((LN2 - Math.log(1.5)) / 2, within(1e-6));
      assertThat(m.kl()).isCloseTo(0.25, within(1e-6));
      assertThat(m.entropy()).isEqualTo(2);
      assertThat(m.nonFiniteRows()).isZero();
      assertThat(m.firstNonFiniteRow()).isEqualTo(-1);

      PolicyLossMetrics twice = m.plus(m);
      assertThat(twice.tokens()).isEqualTo(4);
      assertThat(twice.loss()).isEqualTo(2 * m.loss());
      assertThat(twice.clipFractionHigh()).isEqualTo(0.5);
      assertThat(twice.ratioMin()).isEqualTo(m.ratioMin());
    }
  }

  @Test
  void weightsAndTokenAdvantagesAreTakenPerToken() {
    TokenBatch batch =
        TokenBatch.ofOffsets(OFFSETS)
            .withAdvantages(Floats.copyOf(1, 2, 3))
            .withWeights(Floats.copyOf(1, 10, 100));

    assertThat(loss(PolicyLoss.ppo(), batch, Normalizer.none())).isEqualTo(-321);
  }

  @Test
  void nonFiniteRowsMakeTheLossNanOrAreSkipped() {
    TokenBatch batch = TokenBatch.ofOffsets(OFFSETS).withAdvantages(Floats.copyOf(1, Float.NaN, 3));

    try (LossResult nan = run(PolicyLoss.ppo(), batch, Normalizer.none());
        LossResult skipped = run(PolicyLoss.ppo().withSkipNonFinite(), batch, Normalizer.none())) {
      assertThat(nan.loss()).isNaN();
      assertThat(nan.metrics().firstNonFiniteRow()).isEqualTo(1);
      assertThat(skipped.loss()).isEqualTo(-4);
      assertThat(skipped.metrics().nonFiniteRows()).isEqualTo(1);
    }
  }

  @Test
  void aTargetThatIsIgnoredSkipsItsTokenHereToo() {
    TokenBatch batch =
        TokenBatch.of(Longs.copyOf(5, -100, 5), OFFSETS).withAdvantages(Floats.copyOf(1, 2, 3));

    assertThat(loss(PolicyLoss.ppo(), batch, Normalizer.none())).isEqualTo(-4);
  }

  /** Probabilities 1/4, 1/4, 1/2 in every row. */
  private static Matrix logits() {
    float ln2 = (float) LN2;
    return Matrix.copyOf(DType.F32, 3, 3, 0, 0, ln2, 0, 0, ln2, 0, 0, ln2);
  }

  private static final Longs TARGETS = Longs.copyOf(2, 2, 0);

  @Test
  void lossMetricsAndGradientComeFromLogitsInOneCall() {
    TokenBatch batch = TokenBatch.of(TARGETS, OFFSETS).withAdvantages(Floats.copyOf(1, -2));
    PolicyLoss loss = PolicyLoss.grpo().withGradientScale(2);
    try (Matrix logits = logits();
        LossResult r = loss.forwardBackward(logits, batch, Normalizer.none());
        LossResult forward = loss.forward(logits, batch, Normalizer.none())) {
      assertThat(r.loss()).isEqualTo(0);
      assertThat(r.logProb().get(2)).isCloseTo((float) (-2 * LN2), within(1e-6f));
      assertThat(r.entropy().get(0)).isCloseTo((float) (1.5 * LN2), within(1e-6f));
      assertThat(r.gradient().toArray())
          .containsExactly(new float[] {0.5f, 0.5f, -1, 0.5f, 0.5f, -1, 3, -1, -2}, within(1e-5f));
      assertThat(r.target()).isEqualTo(Backend.target());
      assertThat(forward.loss()).isEqualTo(r.loss());
      assertThatThrownBy(forward::gradient).isInstanceOf(IllegalStateException.class);

      try (LossResult inPlace = loss.forwardBackwardInPlace(logits, batch, Normalizer.none())) {
        assertThat(inPlace.gradient()).isSameAs(logits);
        assertThat(logits.toArray()).containsExactly(r.gradient().toArray());
      }
    }
  }

  @Test
  void oldLogProbsFromTheSameLogitsGiveRatioOne() {
    Targets targets = Targets.of(TARGETS);
    try (Matrix logits = logits();
        LogProbs old = LogProb.atTemperature(0.7f).withEntropy().forward(logits, targets);
        LossResult r =
            PolicyLoss.dapo()
                .withTemperature(0.7f)
                .forward(
                    logits,
                    TokenBatch.of(targets, OFFSETS)
                        .withOld(old.logProb())
                        .withAdvantages(Floats.copyOf(1, -2)),
                    Normalizer.none())) {
      assertThat(r.metrics().ratioMin()).isEqualTo(1);
      assertThat(r.metrics().ratioMax()).isEqualTo(1);
      assertThat(r.metrics().clipFraction()).isZero();
    }
  }

  @Test
  void theGradientMayGoToTheCallersMatrixInFullPrecision() {
    TokenBatch batch = TokenBatch.of(TARGETS, OFFSETS).withAdvantages(Floats.copyOf(1, -2));
    try (Matrix logits = Matrix.copyOf(DType.BF16, 3, 3, logits().toArray());
        Matrix gradient = Matrix.allocate(DType.F32, 3, 3);
        LossResult out = LossResult.of(gradient)) {
      PolicyLoss.ppo().forwardBackward(logits, batch, Normalizer.none(), out);

      assertThat(out.gradient()).isSameAs(gradient);
      assertThat(gradient.get(2, 0)).isCloseTo(1.5f, within(1e-2f));
    }
  }

  @Test
  void whatIsMissingIsNamed() {
    TokenBatch bare = TokenBatch.ofOffsets(OFFSETS);
    TokenBatch ready = bare.withAdvantages(Floats.copyOf(1, 2));
    PolicyLoss kl = PolicyLoss.ppo().withKl(KlEstimator.K3, 1);

    assertThatThrownBy(() -> run(PolicyLoss.ppo(), bare, Normalizer.none()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("withAdvantages");
    assertThatThrownBy(() -> run(kl, ready, Normalizer.none()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("withReference");
    assertThatThrownBy(
            () ->
                PolicyLoss.ppo()
                    .withEntropyBonus(1)
                    .forward(LOG_PROB, null, ready, Normalizer.none()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("entropy: is missing");
    assertThatThrownBy(() -> PolicyLoss.ppo().forward(logits(), ready, Normalizer.none()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("targets: are missing");
  }

  @Test
  void advantagesOfAnotherSizeAreRefusedWithBothSizes() {
    TokenBatch batch = TokenBatch.ofOffsets(OFFSETS).withAdvantages(Floats.copyOf(1, 2, 3, 4));

    assertThatThrownBy(() -> run(PolicyLoss.ppo(), batch, Normalizer.none()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage(
            "advantages: has 4 elements; 3 (one per row) or 2 (one per sequence) are needed");
  }

  @Test
  void asManyRowsAsSequencesMustBeOneToOneOrSaid() {
    TokenBatch skewed = TokenBatch.ofOffsets(Longs.copyOf(0, 3, 3, 3));
    TokenBatch oneToOne = TokenBatch.ofOffsets(Longs.copyOf(0, 1, 2, 3));
    Floats advantages = Floats.copyOf(1, 2, 3);

    assertThatThrownBy(
            () -> run(PolicyLoss.ppo(), skewed.withAdvantages(advantages), Normalizer.none()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("withSequenceAdvantages");
    assertThat(loss(PolicyLoss.ppo(), skewed.withSequenceAdvantages(advantages), Normalizer.none()))
        .isEqualTo(-3);
    assertThat(loss(PolicyLoss.ppo(), skewed.withTokenAdvantages(advantages), Normalizer.none()))
        .isEqualTo(-6);
    assertThat(loss(PolicyLoss.ppo(), oneToOne.withAdvantages(advantages), Normalizer.none()))
        .isEqualTo(-6);
  }

  @Test
  void optionsOutOfRangeAreNamed() {
    assertThatThrownBy(() -> PolicyLoss.ppo().withClip(-0.1f, 0.2f))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("clip low: -0.1 is not >= 0");
    assertThatThrownBy(() -> PolicyLoss.ppo().withDualClip(1))
        .hasMessage("dualClip: 1.0 is not finite and > 1");
    assertThatThrownBy(() -> PolicyLoss.dapo().withTwoSidedClip(1.25f))
        .hasMessage("twoSidedClip: 1.25 is not finite and > 1 + clip high 0.28");
    assertThatThrownBy(() -> PolicyLoss.ppo().withKl(KlEstimator.K1, Double.NaN))
        .hasMessage("kl coefficient: NaN is not finite");
    assertThatThrownBy(() -> PolicyLoss.ppo().withMaxLogRatio(0)).hasMessageContaining("0.0");
    assertThatThrownBy(() -> Normalizer.tokens(-1))
        .hasMessage("normalizer: divisor: -1.0 is not finite and >= 0");
  }
}
