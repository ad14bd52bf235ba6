package dev.polka.reference;

import java.util.Arrays;

/**
 * The per-token inputs of a policy objective for packed sequences: {@code offsets} cut the rows
 * into sequences. {@code old}, {@code ref}, {@code weights}, {@code entropy} and {@code mask} may
 * be null; advantages are per token. The normalizers: a token of sequence b weighs {@code 1 /
 * divisor / max(sequenceTokens[b], 1)} (null: 1).
 */
public record ReferenceBatch(
    long[] offsets,
    double[] logProb,
    double[] entropy,
    double[] old,
    double[] ref,
    double[] advantages,
    double[] weights,
    boolean[] mask,
    double divisor,
    long[] sequenceTokens,
    double entropyDivisor,
    long[] entropySequenceTokens,
    Extras extras) {

  /**
   * Inputs of the rarer terms; arrays may be null.
   *
   * @param stopped log-probs as stopped gradients see them; null: the log-probs themselves
   */
  public record Extras(
      double[] behaviour,
      double[] anchorWeights,
      double[] likelihoodWeights,
      double likelihoodDivisor,
      double[] stopped) {
    public static final Extras NONE = new Extras(null, null, null, 1, null);
  }

  public ReferenceBatch(
      long[] offsets,
      double[] logProb,
      double[] entropy,
      double[] old,
      double[] ref,
      double[] advantages,
      double[] weights,
      boolean[] mask,
      double divisor,
      long[] sequenceTokens,
      double entropyDivisor,
      long[] entropySequenceTokens) {
    this(
        offsets,
        logProb,
        entropy,
        old,
        ref,
        advantages,
        weights,
        mask,
        divisor,
        sequenceTokens,
        entropyDivisor,
        entropySequenceTokens,
        Extras.NONE);
  }

  public ReferenceBatch withExtras(Extras value) {
    return new ReferenceBatch(
        offsets,
        logProb,
        entropy,
        old,
        ref,
        advantages,
        weights,
        mask,
        divisor,
        sequenceTokens,
        entropyDivisor,
        entropySequenceTokens,
        value);
  }

  /** The same with log-probs that stopped gradients do not see. */
  public ReferenceBatch withStopped(double[] value) {
    return withExtras(
        new Extras(
            extras.behaviour,
            extras.anchorWeights,
            extras.likelihoodWeights,
            extras.likelihoodDivisor,
            value));
  }

  /** Advantages that are one number per sequence, spread over its tokens. */
  public static double[] perToken(long[] offsets, double[] perSequence) {
    double[] spread = new double[(int) offsets[perSequence.length]];
    for (int b = 0; b < perSequence.length; b++) {
      Arrays.fill(spread, (int) offsets[b], (int) offsets[b + 1], perSequence[b]);
    }
    return spread;
  }

  public ReferenceBatch withLogProb(double[] value) {
    return new ReferenceBatch(
        offsets,
        value,
        entropy,
        old,
        ref,
        advantages,
        weights,
        mask,
        divisor,
        sequenceTokens,
        entropyDivisor,
        entropySequenceTokens,
        extras);
  }

  public ReferenceBatch withEntropy(double[] value) {
    return new ReferenceBatch(
        offsets,
        logProb,
        value,
        old,
        ref,
        advantages,
        weights,
        mask,
        divisor,
        sequenceTokens,
        entropyDivisor,
        entropySequenceTokens,
        extras);
  }

  public ReferenceBatch withAdvantages(double[] value) {
    return new ReferenceBatch(
        offsets,
        logProb,
        entropy,
        old,
        ref,
        value,
        weights,
        mask,
        divisor,
        sequenceTokens,
        entropyDivisor,
        entropySequenceTokens,
        extras);
  }

  public ReferenceBatch withMask(boolean[] value) {
    return new ReferenceBatch(
        offsets,
        logProb,
        entropy,
        old,
        ref,
        advantages,
        weights,
        value,
        divisor,
        sequenceTokens,
        entropyDivisor,
        entropySequenceTokens,
        extras);
  }

  public ReferenceBatch withDivisors(double tokens, double entropies) {
    return new ReferenceBatch(
        offsets,
        logProb,
        entropy,
        old,
        ref,
        advantages,
        weights,
        mask,
        tokens,
        sequenceTokens,
        entropies,
        entropySequenceTokens,
        extras);
  }

  /** Sequences {@code from .. to - 1} alone, with the normalizers of the whole. */
  public ReferenceBatch sequences(int from, int to) {
    int first = (int) offsets[from];
    int last = (int) offsets[to];
    long[] starts = Arrays.stream(offsets, from, to + 1).map(o -> o - first).toArray();
    return new ReferenceBatch(
        starts,
        cut(logProb, first, last),
        cut(entropy, first, last),
        cut(old, first, last),
        cut(ref, first, last),
        cut(advantages, first, last),
        cut(weights, first, last),
        mask == null ? null : Arrays.copyOfRange(mask, first, last),
        divisor,
        cut(sequenceTokens, from, to),
        entropyDivisor,
        cut(entropySequenceTokens, from, to),
        new Extras(
            cut(extras.behaviour, first, last),
            cut(extras.anchorWeights, first, last),
            cut(extras.likelihoodWeights, first, last),
            extras.likelihoodDivisor,
            cut(extras.stopped, first, last)));
  }

  private static double[] cut(double[] values, int from, int to) {
    return values == null ? null : Arrays.copyOfRange(values, from, to);
  }

  private static long[] cut(long[] values, int from, int to) {
    return values == null ? null : Arrays.copyOfRange(values, from, to);
  }

  int rows() {
    return logProb.length;
  }

  int sequences() {
    return offsets.length - 1;
  }

  double tokenWeight(int sequence) {
    return weight(divisor, sequenceTokens, sequence);
  }

  double entropyWeight(int sequence) {
    return weight(entropyDivisor, entropySequenceTokens, sequence);
  }

  private static double weight(double divisor, long[] tokens, int sequence) {
    return divisor == 0 ? 0 : 1 / divisor / (tokens == null ? 1 : Math.max(tokens[sequence], 1));
  }

  double[] stopped() {
    return extras.stopped == null ? logProb : extras.stopped;
  }

  double weight(int row) {
    return weights == null ? 1 : weights[row];
  }

  double anchorWeight(int row) {
    return extras.anchorWeights == null ? 1 : extras.anchorWeights[row];
  }

  double likelihoodWeight(int row) {
    double given = advantages[row] > 0 ? 1 : 0;
    return extras.likelihoodWeights == null ? given : extras.likelihoodWeights[row];
  }

  boolean finite(int row) {
    return Double.isFinite(logProb[row]) && Double.isFinite(advantages[row]);
  }

  boolean counts(int row, boolean skipNonFinite) {
    return (mask == null || mask[row]) && (finite(row) || !skipNonFinite);
  }
}
