package dev.polka.reference;

/**
 * A policy objective in f64, written from its definition:
 *
 * <pre>
 *   l_t = max(-A r', -A clip(r, 1 - low, 1 + high)), r' = min(r, ratioMax)
 *   where A &lt; 0: l_t = min(l_t, -A dualClip)
 *   loss = sum_t n_t (w_t l_t + c_kl kl_t) - c_H sum_t e_t H_t
 * </pre>
 *
 * The derivatives are those of these formulas: 0 where a bound holds.
 */
public final class ReferencePolicyLoss {
  /** What the objective gives: parts of the loss, derivatives per token, sums of the metrics. */
  public static final class Result {
    public double policyLoss;
    public double klLoss;
    public double entropyLoss;
    public double loss;

    /** Sum of the absolute values of the loss's terms. */
    public double magnitude;

    /** Its part in the policy term. */
    public double policyMagnitude;

    public double[] dLogProb;
    public double[] dEntropy;
    public long tokens;
    public long sequences;
    public long clipped;
    public long dualClipped;
    public long clipLow;
    public long clipHigh;
    public long clipLowSequences;
    public long clipHighSequences;
    public double approxKl;
    public double kl;
    public double entropy;
    public double ratioSum;
    public double ratioMin = Double.POSITIVE_INFINITY;
    public double ratioMax = Double.NEGATIVE_INFINITY;
    public long nonFiniteRows;
    public long firstNonFiniteRow = -1;
  }

  private final ReferenceObjective objective;
  private final ReferenceBatch batch;
  private final Result result = new Result();

  private ReferencePolicyLoss(ReferenceObjective objective, ReferenceBatch batch) {
    this.objective = objective;
    this.batch = batch;
    result.dLogProb = new double[batch.rows()];
    result.dEntropy = new double[batch.rows()];
  }

  public static Result of(ReferenceObjective objective, ReferenceBatch batch) {
    ReferencePolicyLoss loss = new ReferencePolicyLoss(objective, batch);
    for (int b = 0; b < batch.sequences(); b++) {
      loss.addSequence(b);
    }
    Result r = loss.result;
    r.loss =
        r.policyLoss
            + objective.klCoefficient() * r.klLoss
            - (objective.entropyCoefficient() == 0
                ? 0
                : objective.entropyCoefficient() * r.entropyLoss);
    return r;
  }

  private void addSequence(int b) {
    int from = (int) batch.offsets()[b];
    int to = (int) batch.offsets()[b + 1];
    int counted = 0;
    double sum = 0;
    for (int t = from; t < to; t++) {
      noteNonFinite(t);
      if (counts(t)) {
        counted++;
        sum += logRatio(t);
      }
    }
    if (counted == 0) {
      return;
    }
    result.sequences++;
    double mean = sum / counted;
    boolean low = false;
    boolean high = false;
    double throughMean = 0;
    for (int t = from; t < to; t++) {
      if (counts(t)) {
        result.tokens++;
        double r = objective.sequenceRatio() ? sequenceRatio(mean) : tokenRatio(t);
        double a = batch.advantages()[t];
        low |= a < 0 && r < 1 - objective.clipLow();
        high |= a > 0 && r > 1 + objective.clipHigh();
        double slope =
            addToken(t, b, r, objective.sequenceRatio() ? sequenceSlope(mean) : tokenSlope(t));
        throughMean += slope;
        result.dLogProb[t] += objective.sequenceRatio() && objective.throughMean() ? 0 : slope;
        addKl(t, b);
        addEntropy(t, b);
      }
    }
    if (objective.sequenceRatio()) {
      result.clipLowSequences += low ? 1 : 0;
      result.clipHighSequences += high ? 1 : 0;
    }
    if (objective.sequenceRatio() && objective.throughMean()) {
      for (int t = from; t < to; t++) {
        result.dLogProb[t] += counts(t) ? throughMean / counted : 0;
      }
    }
  }

  private boolean counts(int t) {
    return batch.counts(t, objective.skipNonFinite());
  }

  private void noteNonFinite(int t) {
    if (batch.counts(t, false) && !batch.finite(t)) {
      result.firstNonFiniteRow = result.nonFiniteRows == 0 ? t : result.firstNonFiniteRow;
      result.nonFiniteRows++;
    }
  }

  private double logRatio(int t) {
    return batch.old() == null ? 0 : batch.logProb()[t] - batch.old()[t];
  }

  private double tokenRatio(int t) {
    return Math.exp(bounded(logRatio(t)));
  }

  private double bounded(double logRatio) {
    return Math.max(-objective.maxLogRatio(), Math.min(objective.maxLogRatio(), logRatio));
  }

  /** d r / d logProb. */
  private double tokenSlope(int t) {
    return Math.abs(logRatio(t)) > objective.maxLogRatio() ? 0 : tokenRatio(t);
  }

  private double sequenceRatio(double mean) {
    return Math.exp(Math.min(mean, objective.sequenceMaxLogRatio()));
  }

  private double sequenceSlope(double mean) {
    return mean > objective.sequenceMaxLogRatio() ? 0 : sequenceRatio(mean);
  }

  /** Adds the policy term of token t; returns its derivative for the log-ratio. */
  private double addToken(int t, int b, double r, double ratioSlope) {
    double a = batch.advantages()[t];
    double upper = objective.ratioMax() == 0 ? Double.POSITIVE_INFINITY : objective.ratioMax();
    double unclipped = -a * Math.min(r, upper);
    double clipped = -a * Math.max(1 - objective.clipLow(), Math.min(1 + objective.clipHigh(), r));
    boolean held = clipped > unclipped;
    double loss = held ? clipped : unclipped;
    double slope = held || r > upper ? 0 : -a * ratioSlope;
    if (a < 0 && objective.dualClip() > 0 && loss > -a * objective.dualClip()) {
      loss = -a * objective.dualClip();
      slope = 0;
      result.dualClipped++;
    }
    double weight = batch.tokenWeight(b) * (batch.weights() == null ? 1 : batch.weights()[t]);
    result.policyLoss += weight * loss;
    result.policyMagnitude += Math.abs(weight * loss);
    result.magnitude += Math.abs(weight * loss);
    result.clipped += held ? 1 : 0;
    result.clipLow += a < 0 && r < 1 - objective.clipLow() ? 1 : 0;
    result.clipHigh += a > 0 && r > 1 + objective.clipHigh() ? 1 : 0;
    result.approxKl -= objective.sequenceRatio() ? logRatio(t) : bounded(logRatio(t));
    result.ratioSum += r;
    result.ratioMin = Math.min(result.ratioMin, r);
    result.ratioMax = Math.max(result.ratioMax, r);
    return weight * slope;
  }

  private void addKl(int t, int b) {
    if (objective.klEstimator() == null) {
      return;
    }
    double old = batch.old() == null ? Double.NaN : batch.old()[t];
    ReferenceTokenKl.Term term =
        new ReferenceTokenKl(
                objective.klEstimator(),
                objective.klGradient(),
                objective.maxLogRatio(),
                objective.k3Max())
            .at(batch.logProb()[t], batch.ref()[t], old);
    double weight = batch.tokenWeight(b);
    result.kl += term.value();
    result.klLoss += weight * term.value();
    result.magnitude += Math.abs(objective.klCoefficient() * weight * term.value());
    result.dLogProb[t] += objective.klCoefficient() * weight * term.derivative();
  }

  private void addEntropy(int t, int b) {
    if (batch.entropy() == null) {
      return;
    }
    double weight = batch.entropyWeight(b);
    result.entropy += batch.entropy()[t];
    result.entropyLoss += weight * batch.entropy()[t];
    result.magnitude += Math.abs(objective.entropyCoefficient() * weight * batch.entropy()[t]);
    result.dEntropy[t] = -objective.entropyCoefficient() * weight;
  }
}
