package dev.polka.reference;

/**
 * Divergence from a teacher known by some columns and their log-probs, in f64 and by the
 * definition: a list of probabilities for each side, and the sum over it.
 */
public record ReferenceTopkDivergence(ReferenceDivergence divergence, Tail tail) {
  public enum Tail {
    NONE,
    BUCKET,
    RENORMALIZED
  }

  /** The value of a row. */
  public double value(ReferenceDistribution student, long[] ids, float[] teacherLogProb) {
    double studentMass = studentMass(student, ids);
    double teacherMass = teacherMass(teacherLogProb);
    double total = 0;
    for (int k = 0; k < ids.length; k++) {
      double p = student.has((int) ids[k]) ? student.probability((int) ids[k]) : 0;
      double q = Math.exp(teacherLogProb[k]);
      if (tail == Tail.RENORMALIZED) {
        p /= studentMass;
        q /= teacherMass;
      }
      total += divergence.term(p, q, Math.log(p), Math.log(q));
    }
    if (tail == Tail.BUCKET && ids.length < student.validColumns()) {
      double p = 0;
      for (int j = 0; j < student.validColumns(); j++) {
        p += student.has(j) && !contains(ids, j) ? student.probability(j) : 0;
      }
      double q = Math.max(0, 1 - teacherMass);
      total += divergence.term(p, q, Math.log(p), Math.log(q));
    }
    return student.broken() ? Double.NaN : total;
  }

  public static double studentMass(ReferenceDistribution student, long[] ids) {
    double mass = 0;
    for (long id : ids) {
      mass += student.has((int) id) ? student.probability((int) id) : 0;
    }
    return mass;
  }

  public static double teacherMass(float[] logProb) {
    double mass = 0;
    for (float lq : logProb) {
      mass += Math.exp(lq);
    }
    return mass;
  }

  /** The share of the ids that fewer than K columns of the student exceed. */
  public static double overlap(ReferenceDistribution student, long[] ids) {
    int among = 0;
    for (long id : ids) {
      int above = 0;
      for (int j = 0; j < student.validColumns(); j++) {
        above += student.logProbability(j) > student.logProbability((int) id) ? 1 : 0;
      }
      among += student.has((int) id) && above < ids.length ? 1 : 0;
    }
    return (double) among / ids.length;
  }

  private static boolean contains(long[] ids, int column) {
    for (long id : ids) {
      if (id == column) {
        return true;
      }
    }
    return false;
  }
}
