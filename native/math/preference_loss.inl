// Losses on scores of whole responses: pairs and rankings, labelled responses, a group's posterior.
// Needs number.inl and polka.h.

// ln(1 + e^x), for any x.
template <class T>
POLKA_MATH T Softplus(T x) {
  return (x > 0 ? x : T(0)) + Log1p(Exp(-Abs(x)));
}

template <class T>
POLKA_MATH T Sigmoid(T x) {
  const T e = Exp(-Abs(x));
  return (x < 0 ? e : T(1)) / (1 + e);
}

// A loss and its derivative with respect to the margin h.
template <class T>
struct MarginTerm {
  T loss;
  T derivative;
};

// The loss of a pair whose margin is h: how far the better response is ahead.
template <class T>
POLKA_MATH MarginTerm<T> PairTerm(int32_t kind, T h, T beta, T smoothing) {
  switch (kind) {
    case POLKA_PREFERENCE_HINGE:
      return h < 1 ? MarginTerm<T>{1 - h, T(-1)} : MarginTerm<T>{h == h ? T(0) : h, T(0)};
    case POLKA_PREFERENCE_IPO: {
      const T residual = (h - T(0.5)) / beta;
      return {residual * residual, 2 * residual / beta};
    }
    default: {
      // A part without weight is no part: 0 times an infinite loss is 0.
      const T kept = 1 - smoothing, swapped = smoothing;
      const T lost = kept == 0 ? T(0) : kept * Softplus(-h), won = swapped == 0 ? T(0) : swapped * Softplus(h);
      return {lost + won, swapped * Sigmoid(h) - kept * Sigmoid(-h)};
    }
  }
}

// The loss of one labelled response (KTO, Ethayarajh et al. 2024): h is its implied reward less that of
// the reference point. The derivative is with respect to h.
template <class T>
POLKA_MATH MarginTerm<T> LabelledTerm(bool desirable, T h, T desirable_weight, T undesirable_weight) {
  const T weight = desirable ? desirable_weight : undesirable_weight, sign = desirable ? T(1) : T(-1);
  const T lost = Sigmoid(-sign * h);
  return {weight * lost, -sign * weight * lost * Sigmoid(sign * h)};
}

// ln of the sum of the exponentials of at(0), .. at(count - 1); -inf where all are -inf, and NaN and
// +inf as they come.
template <class At>
POLKA_MATH double LogSumExp(int64_t count, const At& at) {
  double max = -INFINITY;
  for (int64_t i = 0; i < count; ++i) max = at(i) > max || at(i) != at(i) ? at(i) : max;
  if (max - max != 0) return max;
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += Exp(at(i) - max);
  return max + Log(sum);
}
