// The policy loss of a token: its objective, the penalties beside it, its gradients and what it adds to
// the metrics. Needs number.inl, token_kl.inl, policy_term.inl and polka.h.

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

// What is read of one token. A row that is not finite has NaN as log-prob and advantage, so that the
// NaN reaches every result.
template <class T>
struct TokenInputs {
  T log_prob, old_log_prob, ref_log_prob, behaviour_log_prob;
  T advantage;
  T importance;     // w_t
  T anchor_weight;  // b_t
  T nll_weight;     // c_t
  T entropy;
  bool non_finite;
  bool counted;  // false: the row is masked because it is not finite
};

// Decides whether the row is finite. Everything else of `t` has been filled in.
template <class T>
POLKA_MATH TokenInputs<T> JudgeToken(const polka_policy_objective& o, TokenInputs<T> t) {
  t.non_finite = !IsFinite(t.log_prob) || !IsFinite(t.advantage) || IsNan(t.old_log_prob) || IsNan(t.ref_log_prob) ||
                 IsNan(t.behaviour_log_prob) || !IsFinite(t.importance) || !IsFinite(t.anchor_weight) ||
                 !IsFinite(t.nll_weight) || (o.entropy_threshold > 0 && IsNan(t.entropy));
  t.counted = !(t.non_finite && o.skip_non_finite);
  if (t.non_finite) t.log_prob = t.advantage = T(NAN);
  return t;
}

// c_t where the batch has none: the tokens that did well.
template <class T>
POLKA_MATH T DefaultNllWeight(T advantage) {
  return advantage > 0 ? T(1) : T(0);
}

// Whether the sequences of a batch have to be summed up before the loss of a token is known.
POLKA_MATH bool NeedsSequences(const polka_policy_objective& o) {
  return o.ratio_level == POLKA_RATIO_SEQUENCE || o.off_policy_max > 0;
}

// Whether the objective reads the entropy.
POLKA_MATH bool NeedsEntropy(const polka_policy_objective& o) {
  return o.entropy_coefficient != 0 || o.entropy_threshold > 0;
}

// Sums over the counted tokens of a sequence, in order.
struct SequenceSums {
  double log_ratio;   // as the objective counts it
  double log_weight;  // GMPO: ln w_t; VESPO: clamped log-ratio + ln w_t
  double drift;       // behaviour - log_prob
  int64_t tokens;
};

// What the tokens of a sequence share.
struct SequenceState {
  double mean_log_ratio;
  double weight_positive;  // GMPO: g; VESPO: phi, by the sign of A
  double weight_negative;
  double d_log_prob;  // through the mean: the same for each token that moves it
  int64_t tokens;
  bool off_policy;
};

template <class T>
POLKA_MATH void AddToSequence(const polka_policy_objective& o, SequenceSums& s, const TokenInputs<T>& t) {
  const double log_ratio = static_cast<double>(t.log_prob) - static_cast<double>(t.old_log_prob);
  if (o.kind == POLKA_OBJECTIVE_GMPO) {
    s.log_ratio += HoldLogRatio(o, log_ratio, static_cast<double>(t.advantage)).value;
    s.log_weight += Log(static_cast<double>(t.importance));
  } else {
    s.log_ratio += log_ratio;
    if (o.kind == POLKA_OBJECTIVE_VESPO) {
      s.log_weight += Clamp(log_ratio, static_cast<double>(o.max_log_ratio)) + Log(static_cast<double>(t.importance));
    }
  }
  s.drift += static_cast<double>(t.behaviour_log_prob) - static_cast<double>(t.log_prob);
  s.tokens += 1;
}

// VESPO's weight of a sequence (Shen et al. 2026): a gamma density of its importance ratio W, up to a
// constant, with mode near 1.
POLKA_MATH double VespoWeight(double log_weight, double shape, double rate) {
  const double low = -18.420680743952367, high = 20;  // ln 1e-8
  const double x = log_weight < low ? low : log_weight > high ? high : log_weight;
  const double phi = Exp(rate + shape * x - rate * Exp(x));
  return phi == INFINITY ? 0 : phi;
}

POLKA_MATH SequenceState FinishSequence(const polka_policy_objective& o, const SequenceSums& s) {
  const double tokens = static_cast<double>(s.tokens);
  SequenceState state = {s.log_ratio / tokens, 1, 1, 0, s.tokens, false};
  if (o.kind == POLKA_OBJECTIVE_GMPO) {
    state.weight_positive = state.weight_negative = Exp(s.log_weight / tokens);
  } else if (o.kind == POLKA_OBJECTIVE_VESPO) {
    state.weight_positive = VespoWeight(s.log_weight, o.shape_positive, o.rate_positive);
    state.weight_negative = VespoWeight(s.log_weight, o.shape_negative, o.rate_negative);
  }
  state.off_policy = o.off_policy_max > 0 && s.drift / tokens > static_cast<double>(o.off_policy_max);
  return state;
}

// n_t, e_t and q_t: what one token weighs in the loss, in the entropy bonus and in the likelihood term.
struct TokenWeights {
  double loss;
  double entropy;
  double nll;
};

// Everything that one token contributes.
template <class T>
struct TokenTerms {
  PolicyTerm<T> policy;
  Differentiable<T> anchor;  // weighted by b_t
  Differentiable<T> kl;
  T importance;  // w_t m_t
  T nll_weight;  // c_t
  T log_prob;
  T entropy;
  T ratio;
  T old_minus_new;         // old - log_prob, bounded as in the ratio
  double sequence_weight;  // of its sequence, over the sequence's tokens; GMPO and VESPO
  bool moves_mean;         // the log-ratio of the token moves the mean of its sequence
  bool low_entropy;
};

// `state` is read where the objective NeedsSequences.
template <class T>
POLKA_MATH TokenTerms<T> MakeTerms(const polka_policy_objective& o, const TokenInputs<T>& t,
                                   const SequenceState& state) {
  const bool by_sequence = o.ratio_level == POLKA_RATIO_SEQUENCE;
  const Ratio<T> ratio = by_sequence ? SequenceRatio(T(state.mean_log_ratio), T(o.sequence_max_log_ratio))
                                     : TokenRatio(t.log_prob, t.old_log_prob, T(o.max_log_ratio));
  TokenTerms<T> terms = {};
  terms.importance = t.importance;
  terms.moves_mean = true;
  switch (o.kind) {
    case POLKA_OBJECTIVE_CLIP:
      terms.policy = ClippedTerm(o, ratio, t.advantage);
      break;
    case POLKA_OBJECTIVE_SAPO:
      terms.policy = SapoTerm(o, ratio, t.advantage);
      break;
    case POLKA_OBJECTIVE_DPPO_TV:
    case POLKA_OBJECTIVE_DPPO_KL:
    case POLKA_OBJECTIVE_IPO:
      terms.policy = TrustTerm(o, ratio, t.log_prob, t.old_log_prob, t.advantage);
      break;
    case POLKA_OBJECTIVE_GMPO: {
      const HeldLogRatio<T> held = HoldLogRatio(o, t.log_prob - t.old_log_prob, t.advantage);
      terms.policy = RatioTerm(o, ratio, t.advantage);
      terms.policy.clipped = held.held;
      terms.policy.below = held.below;
      terms.policy.above = held.above;
      terms.policy.clip_low = held.below && held.held;
      terms.policy.clip_high = held.above && held.held;
      terms.importance = T(state.weight_positive);
      terms.sequence_weight = state.weight_positive / static_cast<double>(state.tokens);
      terms.moves_mean = !held.held;
      break;
    }
    case POLKA_OBJECTIVE_VESPO: {
      terms.policy = RatioTerm(o, ratio, t.advantage);
      terms.policy.clip_low = terms.policy.clip_high = false;
      const double phi = t.advantage < 0 ? state.weight_negative : state.weight_positive;
      MakeDetached(terms.policy, T(phi), t.log_prob, t.advantage);
      terms.importance = 1;
      terms.sequence_weight = phi / static_cast<double>(state.tokens);
      break;
    }
    case POLKA_OBJECTIVE_REGRESSION:
      terms.policy = RegressionTerm(o, ratio, state.mean_log_ratio, state.tokens, t.advantage);
      break;
    default:
      terms.policy = DetachedTerm(o, ratio, t.log_prob, t.advantage);
  }
  terms.low_entropy = o.entropy_threshold > 0 && t.entropy < T(o.entropy_threshold);
  const bool off_policy = o.off_policy_max > 0 && state.off_policy && t.advantage < 0;
  if (terms.low_entropy || off_policy) terms.importance = 0;
  if (o.anchor_estimator != POLKA_KL_NONE) {
    const Differentiable<T> anchor =
        KlEstimate(o.anchor_estimator, t.log_prob - t.old_log_prob, T(o.max_log_ratio), T(o.k3_max));
    terms.anchor = {Scaled(t.anchor_weight, anchor.value), Scaled(t.anchor_weight, anchor.derivative)};
  }
  if (o.kl_estimator != POLKA_KL_NONE) {
    terms.kl = TokenKl(o.kl_estimator, o.kl_gradient_mode, t.log_prob, t.ref_log_prob, t.old_log_prob,
                       T(o.max_log_ratio), T(o.k3_max));
  }
  const T drop = t.old_log_prob - t.log_prob;
  terms.nll_weight = t.nll_weight;
  terms.log_prob = t.log_prob;
  terms.entropy = t.entropy;
  terms.ratio = ratio.value;
  terms.old_minus_new = by_sequence ? drop : Clamp(drop, T(o.max_log_ratio));
  return terms;
}

// d loss / d log-ratio of the policy term. Through the mean of a sequence it is summed over the
// sequence's tokens and divided by their number.
template <class T>
POLKA_MATH double RatioGradient(const TokenTerms<T>& t, const TokenWeights& n) {
  return Weighted(n.loss, static_cast<double>(Scaled(t.importance, t.policy.ratio_derivative)));
}

// d loss / d log_prob of one token, `through_mean` being what comes by way of its sequence's mean.
template <class T>
POLKA_MATH double LogProbGradient(const polka_policy_objective& o, const TokenTerms<T>& t, const TokenWeights& n,
                                  double through_mean) {
  const bool by_mean = o.ratio_level == POLKA_RATIO_SEQUENCE && o.sequence_gradient == POLKA_SEQUENCE_THROUGH_MEAN;
  const double by_ratio = t.moves_mean ? (by_mean ? through_mean : RatioGradient(t, n)) : 0;
  const double direct = Weighted(n.loss, static_cast<double>(Scaled(t.importance, t.policy.direct)));
  const double anchor =
      Weighted(n.loss * o.anchor_coefficient, static_cast<double>(Scaled(t.importance, t.anchor.derivative)));
  const double kl = Weighted(n.loss * o.kl_coefficient, static_cast<double>(t.kl.derivative));
  const double nll = -Weighted(n.nll * o.nll_coefficient, static_cast<double>(t.nll_weight));
  return by_ratio + direct + anchor + kl + nll;
}

POLKA_MATH double EntropyGradient(const polka_policy_objective& o, const TokenWeights& n) {
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
POLKA_MATH void AddToken(const polka_policy_objective& o, polka_policy_loss_metrics& m, const TokenTerms<T>& t,
                         const TokenWeights& n) {
  const double ratio = static_cast<double>(t.ratio), drop = static_cast<double>(t.old_minus_new);
  const double anchor = Weighted(n.loss, static_cast<double>(Scaled(t.importance, t.anchor.value)));
  m.policy_loss += Weighted(n.loss, static_cast<double>(Scaled(t.importance, t.policy.loss))) +
                   Weighted(o.anchor_coefficient, anchor);
  m.anchor_loss += anchor;
  m.kl_loss += Weighted(n.loss, static_cast<double>(t.kl.value));
  m.entropy_loss += Weighted(n.entropy, static_cast<double>(t.entropy));
  m.nll_loss -= Weighted(n.nll, static_cast<double>(Scaled(t.nll_weight, t.log_prob)));
  m.tokens += 1;
  m.clipped_sum += t.policy.clipped;
  m.dual_clipped_sum += t.policy.capped;
  m.clip_low_sum += t.policy.clip_low;
  m.clip_high_sum += t.policy.clip_high;
  m.below_sum += t.policy.below;
  m.above_sum += t.policy.above;
  m.low_entropy_sum += t.low_entropy;
  m.sequence_weight_sum += t.sequence_weight;
  m.approx_kl_sum += drop;
  m.abs_log_ratio_sum += Abs(drop);
  m.squared_log_ratio_sum += drop * drop;
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
  m.nll_loss += next.nll_loss;
  m.anchor_loss += next.anchor_loss;
  m.abs_log_ratio_sum += next.abs_log_ratio_sum;
  m.squared_log_ratio_sum += next.squared_log_ratio_sum;
  m.below_sum += next.below_sum;
  m.above_sum += next.above_sum;
  m.low_entropy_sum += next.low_entropy_sum;
  m.off_policy_sequences += next.off_policy_sequences;
  m.sequence_weight_sum += next.sequence_weight_sum;
  m.ratio_min = next.ratio_min < m.ratio_min ? next.ratio_min : m.ratio_min;
  m.ratio_max = next.ratio_max > m.ratio_max ? next.ratio_max : m.ratio_max;
  m.non_finite_rows += next.non_finite_rows;
  if (m.first_non_finite_row < 0) m.first_non_finite_row = next.first_non_finite_row;
}

// The loss from its parts. A part without a coefficient is a metric and no more: it may overflow.
POLKA_MATH double TotalLoss(const polka_policy_objective& o, const polka_policy_loss_metrics& m) {
  return m.policy_loss + Weighted(o.kl_coefficient, m.kl_loss) - Weighted(o.entropy_coefficient, m.entropy_loss) +
         Weighted(o.nll_coefficient, m.nll_loss);
}
