package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.memory.Matrix;
import dev.polka.reference.ReferenceBatch;
import dev.polka.reference.ReferenceObjective;
import dev.polka.reference.ReferencePolicyLoss.Result;
import dev.polka.reference.Storage;

/**
 * A policy objective of the reference, as an operation of the library, on plain arrays.
 *
 * @param advantagePerSequence whether advantages are handed over as one number per sequence
 */
public record PolicyLossCase(
    ReferenceObjective objective, ReferenceBatch batch, boolean advantagePerSequence, int threads) {

  public static PolicyLossCase of(ReferenceObjective objective, ReferenceBatch batch) {
    return new PolicyLossCase(objective, batch, false, 0);
  }

  PolicyLossCase withThreads(int value) {
    return new PolicyLossCase(objective, batch, advantagePerSequence, value);
  }

  PolicyLoss operation() {
    PolicyLoss op =
        PolicyLoss.ppo()
            .withMaxLogRatio(bound(objective.maxLogRatio()))
            .withSequenceMaxLogRatio(bound(objective.sequenceMaxLogRatio()))
            .withK3Max(bound(objective.k3Max()))
            .withThreads(threads);
    boolean clipped = Double.isFinite(objective.clipLow()) || Double.isFinite(objective.clipHigh());
    op =
        clipped
            ? op.withClip((float) objective.clipLow(), (float) objective.clipHigh())
            : op.withoutClip();
    op = surrogate(op);
    op = objective.dualClip() == 0 ? op : op.withDualClip((float) objective.dualClip());
    op = objective.ratioMax() == 0 ? op : op.withTwoSidedClip((float) objective.ratioMax());
    op = objective.klEstimator() == null ? op : withKl(op);
    op =
        objective.entropyCoefficient() == 0
            ? op
            : op.withEntropyBonus(objective.entropyCoefficient());
    op =
        objective.anchorEstimator() == null
            ? op
            : op.withAnchor(
                KlEstimator.valueOf(objective.anchorEstimator().name()),
                objective.anchorCoefficient());
    op =
        op.withLikelihood(objective.likelihood())
            .withEntropyThreshold((float) objective.entropyThreshold())
            .withOffPolicyMask((float) objective.offPolicyMax());
    return objective.skipNonFinite() ? op.withSkipNonFinite() : op;
  }

  private PolicyLoss surrogate(PolicyLoss op) {
    float bound = (float) objective.trust();
    float ratioMax = (float) objective.trustRatioMax();
    PolicyLoss on = objective.sequenceRatio() ? sequenceRatio(op) : op;
    return on.withSurrogate(
        switch (objective.kind()) {
          case CLIP -> Surrogate.Basic.CLIP;
          case CISPO -> Surrogate.Basic.CISPO;
          case CISPO_MASKED -> Surrogate.Basic.CISPO_MASKED;
          case MASKED_IS -> Surrogate.Basic.MASKED_IMPORTANCE;
          case TOPR -> Surrogate.Basic.TOPR;
          case REINFORCE -> Surrogate.Basic.REINFORCE;
          case GMPO -> Surrogate.Basic.GEOMETRIC_MEAN;
          case SAPO -> new Surrogate.SoftGate((float) objective.tau(1), (float) objective.tau(-1));
          case DPPO_TV -> trust(Surrogate.Measure.TOTAL_VARIATION, bound, ratioMax);
          case DPPO_KL -> trust(Surrogate.Measure.KL, bound, ratioMax);
          case IPO -> trust(Surrogate.Measure.PROBABILITY, bound, ratioMax);
          case REGRESSION -> new Surrogate.Regression((float) objective.regressionScale());
          case VESPO ->
              new Surrogate.GammaWeight(
                  (float) objective.shape(1),
                  (float) objective.rate(1),
                  (float) objective.shape(-1),
                  (float) objective.rate(-1));
        });
  }

  private static Surrogate trust(Surrogate.Measure measure, float bound, float ratioMax) {
    return new Surrogate.TrustRegion(measure, bound, bound, ratioMax);
  }

  private PolicyLoss sequenceRatio(PolicyLoss op) {
    return op.withRatio(RatioLevel.SEQUENCE)
        .withSequenceGradient(
            objective.throughMean()
                ? SequenceGradient.THROUGH_MEAN
                : SequenceGradient.TOKEN_DETACHED);
  }

  private PolicyLoss withKl(PolicyLoss op) {
    return op.withKl(KlEstimator.valueOf(objective.klEstimator().name()), objective.klCoefficient())
        .withKlGradient(KlGradient.valueOf(objective.klGradient().name()));
  }

  private static float bound(double value) {
    return Double.isInfinite(value) ? PolicyLoss.NONE : (float) value;
  }

  Normalizer normalizer() {
    return normalizer(batch.divisor(), batch.sequenceTokens());
  }

  Normalizer entropyNormalizer() {
    return normalizer(batch.entropyDivisor(), batch.entropySequenceTokens());
  }

  private static Normalizer normalizer(double divisor, long[] tokens) {
    return tokens == null
        ? Normalizer.constant(divisor)
        : Normalizer.sequences((long) divisor, Longs.copyOf(tokens));
  }

  /** Narrowed to f32, as callers hold them; null stays null. */
  static Floats floats(double[] values) {
    return values == null ? null : Floats.copyOf(Storage.toF32(values));
  }

  /** The batch for callers who hold log-probs: the targets carry the mask alone. */
  TokenBatch tokens() {
    return tokens(new long[batch.logProb().length]);
  }

  TokenBatch tokens(long[] targets) {
    Targets all = Targets.of(Longs.copyOf(targets));
    TokenBatch tokens =
        TokenBatch.of(
            batch.mask() == null ? all : all.withMask(Bytes.copyOf(batch.mask())),
            Longs.copyOf(batch.offsets()));
    tokens = batch.old() == null ? tokens : tokens.withOld(floats(batch.old()));
    tokens = batch.ref() == null ? tokens : tokens.withReference(floats(batch.ref()));
    tokens = batch.weights() == null ? tokens : tokens.withWeights(floats(batch.weights()));
    tokens = tokens.withEntropyNormalizer(entropyNormalizer());
    ReferenceBatch.Extras extras = batch.extras();
    tokens = tokens.withLikelihoodNormalizer(Normalizer.constant(extras.likelihoodDivisor()));
    tokens = extras.behaviour() == null ? tokens : tokens.withBehaviour(floats(extras.behaviour()));
    tokens =
        extras.anchorWeights() == null
            ? tokens
            : tokens.withAnchorWeights(floats(extras.anchorWeights()));
    tokens =
        extras.likelihoodWeights() == null
            ? tokens
            : tokens.withLikelihoodWeights(floats(extras.likelihoodWeights()));
    return advantagePerSequence
        ? tokens.withSequenceAdvantages(floats(perSequence()))
        : tokens.withTokenAdvantages(floats(batch.advantages()));
  }

  private double[] perSequence() {
    double[] values = new double[batch.offsets().length - 1];
    for (int b = 0; b < values.length; b++) {
      int first = (int) batch.offsets()[b];
      values[b] = first < batch.offsets()[b + 1] ? batch.advantages()[first] : 0;
    }
    return values;
  }

  /** The entry for callers who hold log-probs. */
  public Result fromLogProbs() {
    try (LossResult r =
        operation()
            .forwardBackward(
                floats(batch.logProb()), floats(batch.entropy()), tokens(), normalizer())) {
      Result result = read(r);
      result.dLogProb = Storage.widen(r.logProbGradient().toArray());
      result.dEntropy = Storage.widen(r.entropyGradient().toArray());
      return result;
    }
  }

  /** Loss, metrics and the gradient for logits, row after row. */
  public record Fused(Result result, float[] gradient) {}

  /** The entry from logits. */
  public Fused fromLogits(Logits logits, long[] targets, float temperature) {
    try (Matrix matrix = logits.matrix();
        LossResult r =
            operation()
                .withTemperature(temperature)
                .forwardBackward(matrix, tokens(targets), normalizer())) {
      return new Fused(read(r), r.gradient().toArray());
    }
  }

  private static Result read(LossResult r) {
    PolicyLossMetrics m = r.metrics();
    Result result = new Result();
    result.loss = r.loss();
    result.policyLoss = m.policyLoss();
    result.klLoss = m.klLoss();
    result.entropyLoss = m.entropyLoss();
    result.tokens = (long) m.tokens();
    result.sequences = (long) m.sequences();
    result.clipped = (long) m.clippedSum();
    result.dualClipped = (long) m.dualClippedSum();
    result.clipLow = (long) m.clipLowSum();
    result.clipHigh = (long) m.clipHighSum();
    result.clipLowSequences = (long) m.clipLowSequences();
    result.clipHighSequences = (long) m.clipHighSequences();
    result.approxKl = m.approxKlSum();
    result.kl = m.klSum();
    result.entropy = m.entropySum();
    result.likelihoodLoss = m.likelihoodLoss();
    result.anchorLoss = m.anchorLoss();
    result.absLogRatio = m.absLogRatioSum();
    result.squaredLogRatio = m.squaredLogRatioSum();
    result.below = (long) m.belowSum();
    result.above = (long) m.aboveSum();
    result.lowEntropy = (long) m.lowEntropySum();
    result.offPolicySequences = (long) m.offPolicySequences();
    result.sequenceWeight = m.sequenceWeightSum();
    result.ratioSum = m.ratioSum();
    result.ratioMin = m.ratioMin();
    result.ratioMax = m.ratioMax();
    result.nonFiniteRows = (long) m.nonFiniteRows();
    result.firstNonFiniteRow = (long) m.firstNonFiniteRow();
    return result;
  }
}
