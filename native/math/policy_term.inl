// The objectives: what one token's loss is as a function of its ratio, its log-prob and its advantage.
// Needs number.inl, token_kl.inl and polka.h.
//
// T is float in the kernels and double in tests. A value that is clipped, clamped or dropped is a
// constant: its gradient is exactly 0. At a tie the first argument of max or min decides, the
// unclipped one, so at a bound the gradient still flows.

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

// The objective l of one token, to be minimised, its derivatives, and which bounds were met.
template <class T>
struct PolicyTerm {
  T loss;
  T ratio_derivative;  // with respect to the log-ratio
  T direct;            // with respect to log_prob where it stands outside the ratio
  bool clipped;        // a bound changes the objective
  bool capped;         // held by dual_clip or surrogate_max
  bool below, above;   // the ratio outside its range
  bool clip_low;       // below, or dropped, while A < 0
  bool clip_high;      // above, or dropped, while A > 0
};

// -A r, with whatever side of the range the ratio is on.
template <class T>
POLKA_MATH PolicyTerm<T> RatioTerm(const polka_policy_objective& o, Ratio<T> r, T advantage) {
  const bool below = r.value<1 - T(o.clip_low), above = r.value> 1 + T(o.clip_high);
  return {-Scaled(advantage, r.value),
          -Scaled(advantage, r.derivative),
          T(0),
          false,
          false,
          below,
          above,
          below && advantage < 0,
          above && advantage > 0};
}

// Proximal policy optimization (Schulman et al. 2017), dual clip (Ye et al. 2020), two-sided clip.
template <class T>
POLKA_MATH PolicyTerm<T> ClippedTerm(const polka_policy_objective& o, Ratio<T> r, T advantage) {
  PolicyTerm<T> term = RatioTerm(o, r, advantage);
  const T in_range = term.below ? 1 - T(o.clip_low) : term.above ? 1 + T(o.clip_high) : r.value;
  const T clipped = -Scaled(advantage, in_range);
  if (o.ratio_max > 0 && r.value > T(o.ratio_max)) {
    term.loss = -Scaled(advantage, T(o.ratio_max));
    term.ratio_derivative = 0;
  }
  term.clipped = clipped > term.loss;
  if (term.clipped) {
    term.loss = clipped;
    term.ratio_derivative = 0;
  }
  const T ceiling = -advantage * T(o.dual_clip);
  if (o.dual_clip > 0 && advantage < 0 && term.loss > ceiling) {
    term.loss = ceiling;
    term.ratio_derivative = 0;
    term.capped = true;
  }
  return term;
}

// Makes the term -A c x with a coefficient c that has no gradient.
template <class T>
POLKA_MATH void MakeDetached(PolicyTerm<T>& term, T coefficient, T log_prob, T advantage) {
  term.direct = -Scaled(advantage, coefficient);
  term.loss = term.direct * log_prob;
  term.ratio_derivative = 0;
}

// REINFORCE and the coefficients that truncated importance sampling gives it: CISPO (MiniMax 2025),
// masked importance sampling, tapered off-policy REINFORCE (Le Roux et al. 2025).
template <class T>
POLKA_MATH PolicyTerm<T> DetachedTerm(const polka_policy_objective& o, Ratio<T> r, T log_prob, T advantage) {
  PolicyTerm<T> term = RatioTerm(o, r, advantage);
  const T in_range = term.below ? 1 - T(o.clip_low) : term.above ? 1 + T(o.clip_high) : r.value;
  const bool outside = term.below || term.above;
  T coefficient = in_range;
  term.clipped = outside;
  switch (o.kind) {
    case POLKA_OBJECTIVE_CISPO_MASKED:
      if (term.clip_low || term.clip_high) coefficient = 0;
      break;
    case POLKA_OBJECTIVE_MASKED_IS:
      if (outside) coefficient = 0;
      break;
    case POLKA_OBJECTIVE_TOPR:
      if (advantage > 0) {
        coefficient = 1;
        term.clipped = term.clip_high = false;
      }
      break;
    case POLKA_OBJECTIVE_REINFORCE:
      coefficient = 1;
      term.clipped = term.clip_low = term.clip_high = false;
      break;
    default:
      break;
  }
  MakeDetached(term, coefficient, log_prob, advantage);
  return term;
}

// Soft adaptive policy optimization (Gao et al. 2025): a gate in place of the clip.
template <class T>
POLKA_MATH PolicyTerm<T> SapoTerm(const polka_policy_objective& o, Ratio<T> r, T advantage) {
  PolicyTerm<T> term = RatioTerm(o, r, advantage);
  const T tau = T(advantage > 0 ? o.tau_positive : o.tau_negative);
  const T x = tau * (r.value - 1);
  // sigmoid(x) = 1 / (1 + e) for x >= 0 and e / (1 + e) below, with e = exp(-|x|).
  const T e = Exp(-Abs(x));
  const T gate = (x < 0 ? e : T(1)) / (1 + e);
  const T slope = e / ((1 + e) * (1 + e));
  term.loss = -advantage * (4 / tau) * gate;
  // A ratio that overflowed has slope 0.
  term.ratio_derivative = slope == 0 ? T(0) : -advantage * 4 * slope * r.derivative;
  term.clip_low = term.clip_high = false;
  return term;
}

// KL between the old and the new probability of the sampled token against all others.
template <class T>
POLKA_MATH T BinaryKl(T log_prob, T old_log_prob) {
  const T old = Exp(old_log_prob), tiny = T(1e-8);
  const T sampled = old == 0 ? T(0) : old * (old_log_prob - log_prob);
  return sampled + (1 - old) * Log((tiny - Expm1(old_log_prob)) / (tiny - Expm1(log_prob)));
}

// A trust region on probabilities rather than ratios: DPPO, and its form that ignores A.
template <class T>
POLKA_MATH PolicyTerm<T> TrustTerm(const polka_policy_objective& o, Ratio<T> r, T log_prob, T old_log_prob,
                                   T advantage) {
  PolicyTerm<T> term = RatioTerm(o, r, advantage);
  const T moved = Exp(log_prob) - Exp(old_log_prob), low = T(o.trust_low), high = T(o.trust_high);
  bool dropped;
  if (o.kind == POLKA_OBJECTIVE_DPPO_TV) {
    dropped = advantage > 0 ? moved > high : moved < -low;
  } else if (o.kind == POLKA_OBJECTIVE_IPO) {
    dropped = moved > high || moved < -low;
  } else {
    const T kl = BinaryKl(log_prob, old_log_prob);
    dropped = advantage > 0 ? kl > high && moved > 0 : kl > low && moved < 0;
  }
  const T bound = T(o.surrogate_max);
  term.capped = !dropped && bound > 0 && r.value > bound;
  if (bound > 0) MakeDetached(term, term.capped ? bound : r.value, log_prob, advantage);
  if (dropped) term.loss = term.ratio_derivative = term.direct = 0;
  term.clipped = dropped;
  term.clip_low = dropped && advantage < 0;
  term.clip_high = dropped && advantage > 0;
  return term;
}

// The log-ratio of a token as geometric-mean policy optimization (Zhao et al. 2025) counts it, and on
// which side of its range, taken in log space, it is.
template <class T>
struct HeldLogRatio {
  T value;
  bool below, above, held;
};

template <class T>
POLKA_MATH HeldLogRatio<T> HoldLogRatio(const polka_policy_objective& o, T log_ratio, T advantage) {
  const T low = -T(o.clip_low), high = T(o.clip_high);
  const bool below = log_ratio<low, above = log_ratio> high;
  const bool held_low = below && advantage < 0, held_high = above && advantage > 0;
  return {held_low ? low : held_high ? high : log_ratio, below, above, held_low || held_high};
}

// The policy's implicit reward, scale times the sum of the sequence's log-ratios, fitted to A by least
// squares: SPPO (Wu et al. 2024) and, with the group's mean of that reward in A, GVPO (Zhang et al.
// 2025). All tokens of a sequence have the same term.
template <class T>
POLKA_MATH PolicyTerm<T> RegressionTerm(const polka_policy_objective& o, Ratio<T> r, double mean_log_ratio,
                                        int64_t tokens, T advantage) {
  PolicyTerm<T> term = RatioTerm(o, r, advantage);
  const double slope = static_cast<double>(o.regression_scale) * static_cast<double>(tokens);
  const double residual = slope * mean_log_ratio - static_cast<double>(advantage);
  term.loss = T(residual * residual);
  term.ratio_derivative = T(2 * slope * residual);
  term.clip_low = term.clip_high = false;
  return term;
}
