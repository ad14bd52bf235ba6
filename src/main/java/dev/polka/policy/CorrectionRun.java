package dev.polka.policy;

import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.TokenKl;
import dev.polka.kernel.TokenKlInput;
import dev.polka.kernel.TokenKlResult;
import dev.polka.kernel.TokenLayout;
import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/** One run of {@link OffPolicyCorrection}: its steps, over one batch. */
final class CorrectionRun {
  /** A mean weight that verl takes for 0. */
  private static final double NO_WEIGHT = 1e-8;

  private final OffPolicyCorrection.Options options;
  private final TokenLayout layout;
  private final double[] old;
  private final double[] rollout;
  private final double[] logRatio; // old - rollout; 0 where a row does not count
  private final boolean[] keep;
  private final double[] weights;
  private final CorrectionMetrics.Builder metrics = new CorrectionMetrics.Builder();

  CorrectionRun(
      OffPolicyCorrection.Options options, TokenLayout layout, double[] old, double[] rollout) {
    layout.requireRows("old", old.length);
    layout.requireRows("rollout", rollout.length);
    this.options = options;
    this.layout = layout;
    this.old = old;
    this.rollout = rollout;
    logRatio = new double[layout.rows()];
    keep = new boolean[layout.rows()];
    weights = new double[layout.rows()];
    for (int row = 0; row < keep.length; row++) {
      keep[row] = layout.counts(row);
      logRatio[row] = keep[row] ? logRatio(row) : 0;
    }
  }

  private double logRatio(int row) {
    if (!Double.isFinite(rollout[row])) {
      throw new IllegalArgumentException(
          "rollout: row " + row + " is " + rollout[row] + ", but it was sampled");
    }
    if (Double.isNaN(old[row]) || old[row] == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(
          "old: row " + row + " is " + old[row] + ", not a log-prob");
    }
    return old[row] - rollout[row];
  }

  private double exp(double logRatio) {
    return Math.exp(Math.max(-options.maxLogRatio, Math.min(options.maxLogRatio, logRatio)));
  }

  private void drop(int sequence) {
    Arrays.fill(keep, layout.first(sequence), layout.end(sequence), false);
  }

  void veto() {
    for (int b = 0; b < layout.sequences(); b++) {
      for (int row = layout.first(b); row < layout.end(b); row++) {
        double weight = exp(logRatio[row]);
        if (layout.counts(row) && (weight < options.vetoLow || weight > options.vetoHigh)) {
          drop(b);
        }
      }
    }
  }

  void reject() {
    for (Rejection rejection : options.rejections) {
      double[] estimates = estimates(rejection.estimator());
      switch (rejection.scope()) {
        case TOKEN -> {
          for (int row = 0; row < keep.length; row++) {
            keep[row] &= rejection.passes(estimates[row]);
          }
        }
        case SEQUENCE_SUM -> rejectSequences(rejection, layout.sums(estimates));
        case SEQUENCE_MEAN -> rejectSequences(rejection, layout.means(estimates));
        case SEQUENCE_MAX -> rejectSequences(rejection, maxima(estimates));
      }
    }
  }

  private void rejectSequences(Rejection rejection, double[] statistics) {
    for (int b = 0; b < statistics.length; b++) {
      if (!rejection.passes(statistics[b])) {
        drop(b);
      }
    }
  }

  private double[] maxima(double[] estimates) {
    double[] maxima = new double[layout.sequences()];
    for (int b = 0; b < maxima.length; b++) {
      maxima[b] = Double.NEGATIVE_INFINITY;
      for (int row = layout.first(b); row < layout.end(b); row++) {
        maxima[b] = layout.counts(row) ? Math.max(maxima[b], estimates[row]) : maxima[b];
      }
    }
    return maxima;
  }

  /** Estimates of KL(sampler || proximal policy) for each token. */
  private double[] estimates(KlEstimator estimator) {
    float bound = (float) Math.min(options.maxLogRatio, Float.POSITIVE_INFINITY);
    try (Floats sampler = narrowed(rollout);
        Floats proximal = narrowed(old);
        Bytes mask = layout.mask();
        TokenKlResult result =
            TokenKl.of(estimator)
                .withMaxLogRatio(bound)
                .forward(TokenKlInput.of(sampler, proximal).withMask(mask))) {
      float[] kl = result.kl().toArray();
      double[] estimates = new double[kl.length];
      Arrays.setAll(estimates, row -> kl[row]);
      return estimates;
    }
  }

  private static Floats narrowed(double[] values) {
    float[] narrow = new float[values.length];
    for (int row = 0; row < narrow.length; row++) {
      narrow[row] = (float) values[row];
    }
    return Floats.copyOf(narrow);
  }

  void maskSequences(double[] advantages) {
    if (options.maxDrift == Double.POSITIVE_INFINITY) {
      return;
    }
    if (advantages == null) {
      throw new IllegalArgumentException("advantages: are missing, which the sequence mask needs");
    }
    layout.requireSequences("advantages", advantages.length);
    double[] mean = layout.means(logRatio);
    for (int b = 0; b < mean.length; b++) {
      if (advantages[b] < 0 && -mean[b] > options.maxDrift) {
        drop(b);
      }
    }
  }

  void boundSecondMoment() {
    if (options.maxSecondMoment == Double.POSITIVE_INFINITY) {
      return;
    }
    // From the smallest on, the mean only grows: those that stay are the longest run below the
    // bound.
    int[] rows =
        IntStream.range(0, keep.length)
            .filter(row -> keep[row])
            .boxed()
            .sorted(
                Comparator.<Integer>comparingDouble(row -> Math.abs(logRatio[row]))
                    .thenComparing(Comparator.reverseOrder()))
            .mapToInt(Integer::intValue)
            .toArray();
    double sum = 0;
    for (int i = 0; i < rows.length; i++) {
      sum += logRatio[rows[i]] * logRatio[rows[i]];
      keep[rows[i]] = sum / (i + 1) < options.maxSecondMoment;
    }
  }

  void weigh() {
    ImportanceWeight weight = options.weight;
    double[] sums = layout.sums(logRatio);
    for (int b = 0; b < sums.length; b++) {
      double ofSequence = sums[b];
      if (weight != null && weight.level() == ImportanceWeight.Level.GEOMETRIC) {
        ofSequence /= Math.max(layout.tokens(b), 1);
      }
      for (int row = layout.first(b); row < layout.end(b); row++) {
        if (layout.counts(row)) {
          boolean own = weight == null || weight.level() == ImportanceWeight.Level.TOKEN;
          double raw = weight == null ? 1 : exp(own ? logRatio[row] : ofSequence);
          metrics.weigh(raw, weight);
          weights[row] = keep[row] ? (weight == null ? 1 : weight.bounded(raw)) : 0;
        }
      }
    }
  }

  void normalize() {
    if (!options.normalized) {
      return;
    }
    TokenLayout kept = layout.keeping(keep);
    boolean byToken =
        options.weight == null || options.weight.level() == ImportanceWeight.Level.TOKEN;
    double[] parts = byToken ? kept.sums(weights) : kept.means(weights);
    long sequences = Arrays.stream(kept.tokenCounts()).filter(tokens -> tokens > 0).count();
    double mean = Arrays.stream(parts).sum() / Math.max(byToken ? kept.tokens() : sequences, 1);
    if (mean > NO_WEIGHT) {
      metrics.normalizedBy(mean);
      for (int row = 0; row < weights.length; row++) {
        weights[row] /= mean;
      }
    }
  }

  Correction result() {
    TokenLayout kept = layout.keeping(keep);
    metrics.finish(layout, kept, weights);
    metrics.divergences(layout, estimates(KlEstimator.K1), estimates(KlEstimator.K3));
    return new Correction(
        kept, weights, options.bypass ? rollout.clone() : old.clone(), metrics.build());
  }
}
