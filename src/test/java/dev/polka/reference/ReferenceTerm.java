package dev.polka.reference;

/**
 * The loss of one token in f64 by the definitions of the papers, with its derivative by the
 * log-ratio and, where the log-prob stands outside the ratio, by that.
 *
 * @param capped held by the dual clip or by the bound of a trust region
 */
record ReferenceTerm(
    double loss,
    double bySlope,
    double direct,
    boolean clipped,
    boolean capped,
    boolean below,
    boolean above,
    boolean low,
    boolean high) {

  /**
   * What a term is made of: the ratio r with dr / d log-ratio, the ratio that stopped gradients
   * see, log-prob and old log-prob (the ones that stopped gradients see have the suffix),
   * advantage, VESPO's weight, and the sum of the sequence's log-ratios.
   */
  record Token(
      double r,
      double slope,
      double stoppedR,
      double logProb,
      double stoppedLogProb,
      double old,
      double advantage,
      double phi,
      double sum,
      int tokens) {}

  static ReferenceTerm of(ReferenceObjective o, Token t) {
    return switch (o.kind()) {
      case CLIP -> clip(o, t);
      case SAPO -> gate(o, t);
      case DPPO_TV, DPPO_KL, IPO -> trust(o, t);
      case GMPO -> ratio(o, t, false);
      case VESPO -> weighted(o, t, t.phi, false, false, false);
      case REGRESSION -> regression(o, t);
      default -> detached(o, t);
    };
  }

  private static boolean below(ReferenceObjective o, Token t) {
    return t.stoppedR < 1 - o.clipLow();
  }

  private static boolean above(ReferenceObjective o, Token t) {
    return t.stoppedR > 1 + o.clipHigh();
  }

  private static ReferenceTerm ratio(ReferenceObjective o, Token t, boolean dropped) {
    boolean below = below(o, t);
    boolean above = above(o, t);
    double a = t.advantage;
    return new ReferenceTerm(
        dropped ? 0 : -a * t.r,
        dropped ? 0 : -a * t.slope,
        0,
        dropped,
        false,
        below,
        above,
        a < 0 && dropped,
        a > 0 && dropped);
  }

  private static ReferenceTerm clip(ReferenceObjective o, Token t) {
    double a = t.advantage;
    double r = t.r;
    double upper = o.ratioMax() == 0 ? Double.POSITIVE_INFINITY : o.ratioMax();
    double unclipped = -a * Math.min(r, upper);
    double clipped = -a * Math.max(1 - o.clipLow(), Math.min(1 + o.clipHigh(), r));
    boolean held = clipped > unclipped;
    double loss = held ? clipped : unclipped;
    double slope = held || r > upper ? 0 : -a * t.slope;
    boolean dual = a < 0 && o.dualClip() > 0 && loss > -a * o.dualClip();
    return new ReferenceTerm(
        dual ? -a * o.dualClip() : loss,
        dual ? 0 : slope,
        0,
        held,
        dual,
        below(o, t),
        above(o, t),
        a < 0 && below(o, t),
        a > 0 && above(o, t));
  }

  /** {@code -A c x} with a constant c. */
  private static ReferenceTerm weighted(
      ReferenceObjective o, Token t, double c, boolean clipped, boolean low, boolean high) {
    double a = t.advantage;
    return new ReferenceTerm(
        -a * c * t.logProb, 0, -a * c, clipped, false, below(o, t), above(o, t), low, high);
  }

  private static ReferenceTerm detached(ReferenceObjective o, Token t) {
    double a = t.advantage;
    double r = t.stoppedR;
    boolean low = a < 0 && below(o, t);
    boolean high = a > 0 && above(o, t);
    boolean outside = below(o, t) || above(o, t);
    double clipped = Math.max(1 - o.clipLow(), Math.min(1 + o.clipHigh(), r));
    return switch (o.kind()) {
      case CISPO -> weighted(o, t, clipped, outside, low, high);
      case CISPO_MASKED -> weighted(o, t, low || high ? 0 : clipped, outside, low, high);
      case MASKED_IS -> weighted(o, t, outside ? 0 : r, outside, low, high);
      case TOPR -> weighted(o, t, a > 0 ? 1 : clipped, a <= 0 && outside, low, false);
      default -> weighted(o, t, 1, false, false, false);
    };
  }

  private static ReferenceTerm gate(ReferenceObjective o, Token t) {
    double tau = o.tau(t.advantage);
    double gate = 1 / (1 + Math.exp(-tau * (t.r - 1)));
    return new ReferenceTerm(
        -t.advantage * 4 / tau * gate,
        -t.advantage * 4 * gate * (1 - gate) * t.slope,
        0,
        false,
        false,
        below(o, t),
        above(o, t),
        false,
        false);
  }

  private static ReferenceTerm trust(ReferenceObjective o, Token t) {
    double p = Math.exp(t.stoppedLogProb);
    double p0 = Math.exp(t.old);
    double moved = p - p0;
    double kl =
        p0 * (t.old - t.stoppedLogProb) + (1 - p0) * Math.log((1 - p0 + 1e-8) / (1 - p + 1e-8));
    boolean upwards = t.advantage > 0;
    boolean kept =
        switch (o.kind()) {
          case DPPO_TV -> upwards ? moved <= o.trust() : moved >= -o.trust();
          case DPPO_KL -> kl <= o.trust() || (upwards ? moved <= 0 : moved >= 0);
          default -> Math.abs(moved) <= o.trust();
        };
    if (!kept || o.trustRatioMax() == 0) {
      return ratio(o, t, !kept);
    }
    double c = Math.min(t.stoppedR, o.trustRatioMax());
    ReferenceTerm term = weighted(o, t, c, false, false, false);
    return new ReferenceTerm(
        term.loss,
        0,
        term.direct,
        false,
        t.stoppedR > o.trustRatioMax(),
        term.below,
        term.above,
        false,
        false);
  }

  /** Squared; by the mean log-ratio its slope is the number of tokens times that by the sum. */
  private static ReferenceTerm regression(ReferenceObjective o, Token t) {
    double residual = o.regressionScale() * t.sum - t.advantage;
    return new ReferenceTerm(
        residual * residual,
        2 * residual * o.regressionScale() * t.tokens,
        0,
        false,
        false,
        below(o, t),
        above(o, t),
        false,
        false);
  }
}
