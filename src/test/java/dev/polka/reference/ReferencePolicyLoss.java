package dev.polka.reference;

/**
 * A policy objective in f64, written from its definition:
 *
 * <pre>
 *   loss = sum_t n_t (w_t m_t (l_t + c_a b_t anchor_t) + c_kl kl_t) - c_H sum_t e_t H_t
 *        - c_nll sum_t c_t x_t / likelihoodDivisor
 * </pre>
 *
 * with l_t from {@link ReferenceTerm}. The derivatives are those of these formulas: 0 where a bound
 * holds. Where the batch has stopped log-probs, gradients that the definition stops see those, so
 * that a finite difference of the loss is its gradient.
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
    public double likelihoodLoss;
    public double anchorLoss;
    public double absLogRatio;
    public double squaredLogRatio;
    public long below;
    public long above;
    public long lowEntropy;
    public long offPolicySequences;
    public double sequenceWeight;
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
    r.loss = r.policyLoss + objective.klCoefficient() * r.klLoss;
    if (objective.entropyCoefficient() != 0) {
      r.loss -= objective.entropyCoefficient() * r.entropyLoss;
    }
    if (objective.likelihood() != 0) {
      r.loss += objective.likelihood() * r.likelihoodLoss;
    }
    return r;
  }

  /** Sums over the counted tokens of a sequence; stopped ones see the stopped log-probs. */
  private static final class Sums {
    int tokens;
    double logRatio;
    double stoppedLogRatio;
    double boundedLogRatio;
    double logWeight;
    double drift;
    double slopes;
    boolean low;
    boolean high;
  }

  private void addSequence(int b) {
    int from = (int) batch.offsets()[b];
    int to = (int) batch.offsets()[b + 1];
    Sums s = new Sums();
    for (int t = from; t < to; t++) {
      noteNonFinite(t);
      if (counts(t)) {
        s.tokens++;
        s.logRatio += heldLogRatio(t, batch.logProb());
        s.stoppedLogRatio += heldLogRatio(t, batch.stopped());
        s.boundedLogRatio += bounded(logRatio(t, batch.stopped()));
        s.logWeight += Math.log(batch.weight(t));
        s.drift += behaviour(t) - batch.stopped()[t];
      }
    }
    if (s.tokens == 0) {
      return;
    }
    result.sequences++;
    boolean offPolicy =
        objective.offPolicyMax() > 0 && s.drift / s.tokens > objective.offPolicyMax();
    result.offPolicySequences += offPolicy ? 1 : 0;
    for (int t = from; t < to; t++) {
      if (counts(t)) {
        result.tokens++;
        addToken(t, b, s, offPolicy);
        addKl(t, b);
        addLikelihood(t, b);
        addEntropy(t, b);
      }
    }
    if (objective.sequenceRatio()) {
      result.clipLowSequences += s.low ? 1 : 0;
      result.clipHighSequences += s.high ? 1 : 0;
    }
    if (objective.sequenceRatio() && objective.throughMean()) {
      for (int t = from; t < to; t++) {
        result.dLogProb[t] += counts(t) && !isHeld(t) ? s.slopes / s.tokens : 0;
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

  private double old(int t) {
    return batch.old() == null ? batch.stopped()[t] : batch.old()[t];
  }

  private double behaviour(int t) {
    double[] given = batch.extras().behaviour();
    return given == null ? old(t) : given[t];
  }

  private double logRatio(int t, double[] logProb) {
    return logProb[t] - old(t);
  }

  /** The log-ratio as GMPO counts it; all others count it as it is. */
  private double heldLogRatio(int t, double[] logProb) {
    double d = logRatio(t, logProb);
    double a = batch.advantages()[t];
    if (objective.kind() != ReferenceObjective.Kind.GMPO || a == 0) {
      return d;
    }
    return a > 0 ? Math.min(d, objective.clipHigh()) : Math.max(d, -objective.clipLow());
  }

  private boolean isHeld(int t) {
    return heldLogRatio(t, batch.logProb()) != logRatio(t, batch.logProb());
  }

  private double bounded(double logRatio) {
    return Math.max(-objective.maxLogRatio(), Math.min(objective.maxLogRatio(), logRatio));
  }

  private double tokenRatio(double logRatio) {
    return Math.exp(bounded(logRatio));
  }

  private double sequenceRatio(double mean) {
    return Math.exp(Math.min(mean, objective.sequenceMaxLogRatio()));
  }

  private ReferenceTerm.Token token(int t, Sums s) {
    double d = logRatio(t, batch.logProb());
    double r = tokenRatio(d);
    double stoppedR = tokenRatio(logRatio(t, batch.stopped()));
    boolean bound = Math.abs(d) > objective.maxLogRatio();
    double sum = d;
    if (objective.sequenceRatio()) {
      double stopped = s.stoppedLogRatio / s.tokens;
      double own = heldLogRatio(t, batch.logProb()) - heldLogRatio(t, batch.stopped());
      double mean = objective.throughMean() ? s.logRatio / s.tokens : stopped + own;
      r = sequenceRatio(mean);
      stoppedR = sequenceRatio(stopped);
      bound = mean > objective.sequenceMaxLogRatio();
      sum = mean * s.tokens;
    }
    double a = batch.advantages()[t];
    double logW = Math.max(Math.log(1e-8), Math.min(20, s.boundedLogRatio + s.logWeight));
    double rate = objective.rate(a);
    double phi = Math.exp(rate + objective.shape(a) * logW - rate * Math.exp(logW));
    return new ReferenceTerm.Token(
        r,
        bound ? 0 : r,
        stoppedR,
        batch.logProb()[t],
        batch.stopped()[t],
        old(t),
        a,
        phi,
        sum,
        s.tokens);
  }

  private void addToken(int t, int b, Sums s, boolean offPolicy) {
    ReferenceTerm.Token token = token(t, s);
    ReferenceTerm term = ReferenceTerm.of(objective, token);
    boolean lowEntropy =
        objective.entropyThreshold() > 0 && batch.entropy()[t] < objective.entropyThreshold();
    double importance =
        switch (objective.kind()) {
          case GMPO -> Math.exp(s.logWeight / s.tokens);
          case VESPO -> 1;
          default -> batch.weight(t);
        };
    boolean masked = lowEntropy || (offPolicy && token.advantage() < 0);
    double weight = masked ? 0 : batch.tokenWeight(b) * importance;
    addTerm(weight, term.loss());
    double bySlope = weight * term.bySlope();
    s.slopes += bySlope;
    boolean through = objective.sequenceRatio() && objective.throughMean();
    result.dLogProb[t] += (through || isHeld(t) ? 0 : bySlope) + weight * term.direct();
    addAnchor(t, weight);
    countTerm(t, term, s);
    result.lowEntropy += lowEntropy ? 1 : 0;
    if (objective.kind() == ReferenceObjective.Kind.GMPO) {
      result.sequenceWeight += importance / s.tokens;
    } else if (objective.kind() == ReferenceObjective.Kind.VESPO) {
      result.sequenceWeight += token.phi() / s.tokens;
    }
    result.ratioSum += token.r();
    result.ratioMin = Math.min(result.ratioMin, token.r());
    result.ratioMax = Math.max(result.ratioMax, token.r());
  }

  private void addTerm(double weight, double loss) {
    result.policyLoss += weight * loss;
    result.policyMagnitude += Math.abs(weight * loss);
    result.magnitude += Math.abs(weight * loss);
  }

  private void countTerm(int t, ReferenceTerm term, Sums s) {
    double d = logRatio(t, batch.logProb());
    boolean gmpo = objective.kind() == ReferenceObjective.Kind.GMPO;
    boolean below = gmpo ? d < -objective.clipLow() : term.below();
    boolean above = gmpo ? d > objective.clipHigh() : term.above();
    boolean low = gmpo ? below && isHeld(t) : term.low();
    boolean high = gmpo ? above && isHeld(t) : term.high();
    result.below += below ? 1 : 0;
    result.above += above ? 1 : 0;
    result.clipped += (gmpo ? isHeld(t) : term.clipped()) ? 1 : 0;
    result.dualClipped += term.capped() ? 1 : 0;
    result.clipLow += low ? 1 : 0;
    result.clipHigh += high ? 1 : 0;
    s.low |= low;
    s.high |= high;
    double drop = objective.sequenceRatio() ? -d : -bounded(d);
    result.approxKl += drop;
    result.absLogRatio += Math.abs(drop);
    result.squaredLogRatio += drop * drop;
  }

  private void addAnchor(int t, double weight) {
    if (objective.anchorEstimator() == null) {
      return;
    }
    ReferenceTokenKl.Term term =
        new ReferenceTokenKl(
                objective.anchorEstimator(),
                ReferenceTokenKl.Gradient.PATHWISE,
                objective.maxLogRatio(),
                objective.k3Max())
            .at(batch.logProb()[t], old(t), Double.NaN);
    double share = weight * batch.anchorWeight(t);
    result.anchorLoss += share * term.value();
    addTerm(objective.anchorCoefficient() * share, term.value());
    result.dLogProb[t] += objective.anchorCoefficient() * share * term.derivative();
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

  private void addLikelihood(int t, int b) {
    if (objective.likelihood() == 0) {
      return;
    }
    double weight = batch.likelihoodWeight(t) / batch.extras().likelihoodDivisor();
    result.likelihoodLoss -= weight * batch.logProb()[t];
    result.magnitude += Math.abs(objective.likelihood() * weight * batch.logProb()[t]);
    result.dLogProb[t] -= objective.likelihood() * weight;
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
