package dev.polka.distill;

import dev.polka.kernel.TokenLayout;

/**
 * On-policy distillation from sampled tokens: the student writes, teachers say how likely they
 * would have written the same, and the difference is the advantage of a policy loss. It estimates
 * the gradient of the reverse KL from the student to the teacher:
 *
 * <pre>{@code
 * r_t = -coefficient sum_k w_k (S_t - T_kt)
 * A_t = sum_{u >= t} discount^(u - t) r_u
 * }</pre>
 *
 * <p>with teachers k and their weights. The discount is 0 unless set: each token answers for itself
 * alone. S is what the student sampled with; the advantage is a constant, and has no gradient. A
 * row that counts without a teacher of its own gets {@code r = 0}.
 *
 * <p>With a reference the teacher's reward is scaled ({@link #withReference}): {@code T} becomes
 * {@code lambda T + (1 - lambda) reference}, which beyond 1 goes further than the teacher went from
 * its reference (ExOPD). On sampled log-probs this leaves the normaliser of that target out, a
 * number per prefix that does not depend on the token; {@code Divergence.withReference} is exact.
 *
 * <p>Sources: tinker {@code incorporate_kl_penalty} (coefficient 1, discount 0), slime {@code
 * apply_opd_kl_to_advantages} (coefficient 1, on top of any estimator), NeMo-RL {@code
 * OPDAdvantageEstimator}, ROLL for several teachers. Peers differ: tinker's discount also applies
 * to the rows in between that do not count; here those are passed over. verl can hold each estimate
 * within a range, which is up to the caller.
 *
 * <p>Immutable and thread-safe.
 */
public final class OnPolicyDistillation {
  private final double coefficient;
  private final double discount;
  private final double[] reference; // null: none
  private final double lambda;

  private OnPolicyDistillation(
      double coefficient, double discount, double[] reference, double lambda) {
    this.coefficient = coefficient;
    this.discount = discount;
    this.reference = reference;
    this.lambda = lambda;
  }

  /**
   * Distillation of each token by itself.
   *
   * @param coefficient what the differences are multiplied by; 1 in tinker, slime and ROLL
   * @return the distillation
   * @throws IllegalArgumentException if {@code coefficient} is not finite
   */
  public static OnPolicyDistillation of(double coefficient) {
    return new OnPolicyDistillation(Check.finite("coefficient", coefficient), 0, null, 1);
  }

  /**
   * Lets a token answer for those after it, too.
   *
   * @param discount the factor per token that counts; 0 for none, which is the default
   * @return the distillation with it
   * @throws IllegalArgumentException if {@code discount} is outside [0, 1]
   */
  public OnPolicyDistillation withDiscount(double discount) {
    return new OnPolicyDistillation(
        coefficient, Check.unit("discount", discount), reference, lambda);
  }

  /**
   * Scales the reward of all teachers, taken from a reference.
   *
   * @param reference log-probs under the model that the teacher started from, one per row
   * @param lambda the scale; 1 is plain distillation, and then the reference does not matter
   * @return the distillation with it
   * @throws IllegalArgumentException if {@code lambda} is not finite
   */
  public OnPolicyDistillation withReference(double[] reference, double lambda) {
    return new OnPolicyDistillation(
        coefficient, discount, reference.clone(), Check.finite("lambda", lambda));
  }

  /**
   * Computes advantages of distillation alone.
   *
   * @param layout the tokens
   * @param student log-probs under the policy that sampled, one per row
   * @param teachers one at least
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException if sizes do not fit the layout, there is no teacher, or a
   *     log-prob that is needed is not finite
   */
  public double[] advantages(TokenLayout layout, double[] student, TeacherLogProbs... teachers) {
    requireFitting(layout, student, teachers);
    double[] rewards = new double[layout.rows()];
    for (int row = 0; row < rewards.length; row++) {
      rewards[row] = layout.counts(row) ? reward(student, teachers, row) : 0;
    }
    return discount == 0 ? rewards : SampledTokens.discountedFuture(layout, rewards, discount);
  }

  /**
   * Adds the advantages of distillation to those of a task, from any estimator.
   *
   * @param advantages of the task, one per row
   * @param layout the tokens
   * @param student log-probs under the policy that sampled, one per row
   * @param teachers one at least
   * @return one per row, 0 where it does not count
   * @throws IllegalArgumentException as {@link #advantages}
   */
  public double[] addedTo(
      double[] advantages, TokenLayout layout, double[] student, TeacherLogProbs... teachers) {
    layout.requireRows("advantages", advantages.length);
    double[] sum = advantages(layout, student, teachers);
    for (int row = 0; row < sum.length; row++) {
      sum[row] += layout.counts(row) ? advantages[row] : 0;
    }
    return sum;
  }

  private void requireFitting(TokenLayout layout, double[] student, TeacherLogProbs[] teachers) {
    layout.requireRows("student", student.length);
    if (teachers.length == 0) {
      throw new IllegalArgumentException("teachers: there are none");
    }
    for (TeacherLogProbs teacher : teachers) {
      teacher.requireRows(layout);
    }
    if (reference != null) {
      layout.requireRows("reference", reference.length);
    }
  }

  private double reward(double[] student, TeacherLogProbs[] teachers, int row) {
    double own = SampledTokens.logProb("student", student, row);
    double sum = 0;
    for (TeacherLogProbs teacher : teachers) {
      if (teacher.teaches(row)) {
        sum += teacher.weight() * (target(teacher, row) - own);
      }
    }
    return coefficient * sum;
  }

  private double target(TeacherLogProbs teacher, int row) {
    double logProb = teacher.logProb(row);
    if (lambda == 1) {
      return logProb;
    }
    double start = SampledTokens.logProb("reference", reference, row);
    return start + lambda * (logProb - start);
  }

  /** {@return the options} */
  @Override
  public String toString() {
    return "coefficient "
        + coefficient
        + ", discount "
        + discount
        + (reference == null ? "" : ", lambda " + lambda);
  }
}
