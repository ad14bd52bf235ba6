// The token objective: what one token adds to the policy loss, its gradients and the metrics.
// Needs number.inl, token_kl.inl and polka.h.
//
// T is float in the kernels and double in tests. A clipped or clamped value is a constant: its
// gradient is exactly 0. At a tie the first argument of max or min decides, the unclipped one, so at
// a clip boundary the gradient still flows.

// r and its derivative with respect to the log-ratio.
template <class T>
struct Ratio {
  T value;
  T derivative;
};

// The ratio of one token. Where there is no old log-prob, log_prob itself stands in for it: ratio 1
// with the derivative of exp(log_prob - stopgrad(log_prob)).
template <class T>
POLKA_MATH Ratio<T> TokenRatio(T log_prob, T old_log_prob, T max_log_ratio) {
  const T log_ratio = log_prob - old_log_prob;
  const T r = Exp(Clamp(log_ratio, max_log_ratio));
  return {r, IfThenElse(Abs(log_ratio) > max_log_ratio, T(0), r)};
}

// The ratio that all tokens of a sequence share (GSPO, Zheng et al. 2025), bounded above only.
template <class T>
POLKA_MATH Ratio<T> SequenceRatio(T mean_log_ratio, T max_log_ratio) {
  const bool over = mean_log_ratio > max_log_ratio;
  const T r = Exp(over ? max_log_ratio : mean_log_ratio);
  return {r, over ? T(0) : r};
}

// a x, where nothing weighs nothing: 0 times a ratio that overflowed is 0.
template <class T>
POLKA_MATH T Scaled(T a, T x) {
  return a == 0 && (x == T(INFINITY) || x == T(-INFINITY)) ? T(0) : a * x;
}

// The clipped objective l of one token, to be minimised, with its derivative with respect to the
// log-ratio, and which bounds were met.
template <class T>
struct PolicyTerm {
  T loss;
  T derivative;
  bool clipped;       // the clipped branch is the larger one
  bool dual_clipped;  // held by dual_clip
  bool clip_low;      // r below its range while A < 0
  bool clip_high;     // r above its range while A > 0
};

template <class T>
POLKA_MATH PolicyTerm<T> ClippedTerm(const polka_policy_objective& o, Ratio<T> r, T advantage) {
  const T low = 1 - T(o.clip_low), high = 1 + T(o.clip_high);
  const bool held = o.ratio_max > 0 && r.value > T(o.ratio_max);
  const T in_range = r.value < low ? low : r.value > high ? high : r.value;
  const T unclipped = -Scaled(advantage, held ? T(o.ratio_max) : r.value);
  const T clipped = -Scaled(advantage, in_range);
  PolicyTerm<T> term = {unclipped, held ? T(0) : -Scaled(advantage, r.derivative), clipped > unclipped, false,
                        r.value < low && advantage<0, r.value> high && advantage > 0};
  if (term.clipped) {
    term.loss = clipped;
    term.derivative = 0;
  }
  const T ceiling = -advantage * T(o.dual_clip);
  if (o.dual_clip > 0 && advantage < 0 && term.loss > ceiling) {
    term.loss = ceiling;
    term.derivative = 0;
    term.dual_clipped = true;
  }
  return term;
}

// x itself, or NaN where it is infinite.
template <class T>
POLKA_MATH T FiniteOrNan(T x) {
  return x + (x - x);
}

template <class T>
POLKA_MATH bool IsFinite(T x) {
  return x - x == 0;
}

template <class T>
POLKA_MATH bool IsNan(T x) {
  return x != x;
}

// n_t and e_t: what one token weighs in the loss and in the entropy bonus.
struct TokenWeights {
  double loss;
  double entropy;
};

// A divisor of 0 means that no token counts anywhere: weight 0.
POLKA_MATH double TokenWeight(double divisor, int64_t sequence_tokens) {
  if (divisor == 0) return 0;
  return 1 / divisor / static_cast<double>(sequence_tokens > 1 ? sequence_tokens : 1);
}

// `weight` times a term of the loss or of its gradient; no weight, no term.
POLKA_MATH double Weighted(double weight, double term) { return weight == 0 ? 0 : weight * term; }

// Everything that one token contributes.
template <class T>
struct TokenTerms {
  PolicyTerm<T> policy;
  Differentiable<T> kl;
  T importance;  // w_t
  T entropy;
  T ratio;
  T old_minus_new;  // old - log_prob, bounded as in the ratio
};

// What the formulas take of one token. A value that is not finite has become NaN, so that it reaches
// every result.
template <class T>
struct TokenInputs {
  T log_prob, old_log_prob, ref_log_prob, advantage, importance;
  bool non_finite;
  bool counted;
};

// Without an old log-prob, log_prob itself is passed for it; without a reference 0, without weights 1.
template <class T>
POLKA_MATH TokenInputs<T> PrepareToken(const polka_policy_objective& o, T log_prob, T old_log_prob, T ref_log_prob,
                                       T advantage, T importance) {
  const bool non_finite =
      !IsFinite(log_prob) || !IsFinite(advantage) || IsNan(old_log_prob) || IsNan(ref_log_prob) || IsNan(importance);
  return {FiniteOrNan(log_prob),
          old_log_prob,
          ref_log_prob,
          FiniteOrNan(advantage),
          importance,
          non_finite,
          !(non_finite && o.skip_non_finite)};
}

// The token's own ratio, or the one it shares with its sequence.
template <class T>
POLKA_MATH TokenTerms<T> TermsOf(const polka_policy_objective& o, const TokenInputs<T>& t, Ratio<T> sequence_ratio,
                                 T entropy) {
  const bool by_sequence = o.ratio_level == POLKA_RATIO_SEQUENCE;
  const Ratio<T> ratio = by_sequence ? sequence_ratio : TokenRatio(t.log_prob, t.old_log_prob, T(o.max_log_ratio));
  Differentiable<T> kl = {0, 0};
  if (o.kl_estimator != POLKA_KL_NONE) {
    kl = TokenKl(o.kl_estimator, o.kl_gradient_mode, t.log_prob, t.ref_log_prob, t.old_log_prob, T(o.max_log_ratio),
                 T(o.k3_max));
  }
  const T drop = t.old_log_prob - t.log_prob;
  return {ClippedTerm(o, ratio, t.advantage),
          kl,
          t.importance,
          entropy,
          ratio.value,
          by_sequence ? drop : Clamp(drop, T(o.max_log_ratio))};
}

// d loss / d log_prob through the policy term. Through the mean of a sequence it is summed over the
// sequence's tokens and divided by their number.
template <class T>
POLKA_MATH double PolicyGradient(const TokenTerms<T>& t, TokenWeights n) {
  return Weighted(n.loss, static_cast<double>(Scaled(t.importance, t.policy.derivative)));
}

template <class T>
POLKA_MATH double KlGradient(const polka_policy_objective& o, const TokenTerms<T>& t, TokenWeights n) {
  return Weighted(n.loss * o.kl_coefficient, static_cast<double>(t.kl.derivative));
}

// d loss / d log_prob. `through_mean` is the sequence's, where the ratio is a sequence's mean and the
// gradient goes through it.
template <class T>
POLKA_MATH double LogProbGradient(const polka_policy_objective& o, const TokenTerms<T>& t, TokenWeights n,
                                  double through_mean) {
  const bool shared = o.ratio_level == POLKA_RATIO_SEQUENCE && o.sequence_gradient == POLKA_SEQUENCE_THROUGH_MEAN;
  return (shared ? through_mean : PolicyGradient(t, n)) + KlGradient(o, t, n);
}

POLKA_MATH double EntropyGradient(const polka_policy_objective& o, TokenWeights n) {
  return -Weighted(n.entropy, o.entropy_coefficient);
}

POLKA_MATH polka_policy_loss_metrics EmptyMetrics() {
  polka_policy_loss_metrics m = {};
  m.ratio_min = INFINITY;
  m.ratio_max = -INFINITY;
  m.first_non_finite_row = -1;
  return m;
}

template <class T>
POLKA_MATH void AddToken(polka_policy_loss_metrics& m, const TokenTerms<T>& t, TokenWeights n) {
  const double ratio = static_cast<double>(t.ratio);
  m.policy_loss += Weighted(n.loss, static_cast<double>(Scaled(t.importance, t.policy.loss)));
  m.kl_loss += Weighted(n.loss, static_cast<double>(t.kl.value));
  m.entropy_loss += Weighted(n.entropy, static_cast<double>(t.entropy));
  m.tokens += 1;
  m.clipped_sum += t.policy.clipped;
  m.dual_clipped_sum += t.policy.dual_clipped;
  m.clip_low_sum += t.policy.clip_low;
  m.clip_high_sum += t.policy.clip_high;
  m.approx_kl_sum += static_cast<double>(t.old_minus_new);
  m.kl_sum += static_cast<double>(t.kl.value);
  m.entropy_sum += static_cast<double>(t.entropy);
  m.ratio_sum += ratio;
  m.ratio_min = ratio < m.ratio_min ? ratio : m.ratio_min;
  m.ratio_max = ratio > m.ratio_max ? ratio : m.ratio_max;
}

POLKA_MATH void AddNonFinite(polka_policy_loss_metrics& m, int64_t row) {
  if (m.first_non_finite_row < 0) m.first_non_finite_row = static_cast<double>(row);
  m.non_finite_rows += 1;
}

// Adds the metrics of rows that come after those of `m`.
POLKA_MATH void MergeMetrics(polka_policy_loss_metrics& m, const polka_policy_loss_metrics& next) {
  m.policy_loss += next.policy_loss;
  m.kl_loss += next.kl_loss;
  m.entropy_loss += next.entropy_loss;
  m.tokens += next.tokens;
  m.sequences += next.sequences;
  m.clipped_sum += next.clipped_sum;
  m.dual_clipped_sum += next.dual_clipped_sum;
  m.clip_low_sum += next.clip_low_sum;
  m.clip_high_sum += next.clip_high_sum;
  m.clip_low_sequences += next.clip_low_sequences;
  m.clip_high_sequences += next.clip_high_sequences;
  m.approx_kl_sum += next.approx_kl_sum;
  m.kl_sum += next.kl_sum;
  m.entropy_sum += next.entropy_sum;
  m.ratio_sum += next.ratio_sum;
  m.ratio_min = next.ratio_min < m.ratio_min ? next.ratio_min : m.ratio_min;
  m.ratio_max = next.ratio_max > m.ratio_max ? next.ratio_max : m.ratio_max;
  m.non_finite_rows += next.non_finite_rows;
  if (m.first_non_finite_row < 0) m.first_non_finite_row = next.first_non_finite_row;
}

// The loss from its parts. A part without a coefficient is a metric and no more: it may overflow.
POLKA_MATH double TotalLoss(const polka_policy_objective& o, const polka_policy_loss_metrics& m) {
  return m.policy_loss + Weighted(o.kl_coefficient, m.kl_loss) - Weighted(o.entropy_coefficient, m.entropy_loss);
}
