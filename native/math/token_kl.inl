// Per-token estimates of KL(policy || reference) from the log-probs of a sampled token, with their
// derivative. d = log_prob - ref_log_prob. (Schulman, "Approximating KL divergence", 2020: k1, k2, k3.)
// Needs number.inl and polka.h.

// A value and its derivative with respect to the policy's log-prob.
template <class N>
struct Differentiable {
  N value;
  N derivative;
};

// exp(x) less the first terms of its Taylor series.
template <class N>
struct ExpRemainder {
  N first;   // exp(x) - 1
  N second;  // exp(x) - 1 - x
};

// For |x| < 1, where the terms cancel, the rest of the series is summed instead: x^2/2! + x^3/3! + ...,
// far enough for half an ulp. From 1 on exp(x) - 1 loses nothing.
template <class N>
POLKA_MATH ExpRemainder<N> ExpLessTaylor(N x) {
  const double inverse_factorial[] = {1.0,
                                      1.0,
                                      1.0 / 2,
                                      1.0 / 6,
                                      1.0 / 24,
                                      1.0 / 120,
                                      1.0 / 720,
                                      1.0 / 5040,
                                      1.0 / 40320,
                                      1.0 / 362880,
                                      1.0 / 3628800,
                                      1.0 / 39916800,
                                      1.0 / 479001600,
                                      1.0 / 6227020800,
                                      1.0 / 87178291200,
                                      1.0 / 1307674368000,
                                      1.0 / 20922789888000,
                                      1.0 / 355687428096000,
                                      1.0 / 6402373705728000};
  const int degree = sizeof(LaneOf(x)) == 4 ? 11 : 18;
  N series = Constant(x, inverse_factorial[degree]);
  for (int n = degree - 1; n >= 2; --n) series = series * x + Constant(x, inverse_factorial[n]);
  const N excess = x * x * series;
  const N e = Exp(x);
  const N one = Constant(x, 1), infinity = Constant(x, INFINITY);
  const auto near = Abs(x) < one;
  return {IfThenElse(near, x + excess, e - one), IfThenElse(near, excess, IfThenElse(e == infinity, e, e - one - x))};
}

// x within [-limit, limit]; a NaN stays one.
template <class N>
POLKA_MATH N Clamp(N x, N limit) {
  const N lower = Constant(x, 0) - limit;
  return IfThenElse(x > limit, limit, IfThenElse(x < lower, lower, x));
}

// The estimator at d and its own derivative. k3 is taken at the clamped d, so that it stays
// continuous, and held at k3_max; where either bound holds it, it is constant. k1, abs and k2 cannot
// overflow and are left alone. The derivative of |d| at 0 is 0.
template <class N>
POLKA_MATH Differentiable<N> KlEstimate(int32_t estimator, N d, N max_log_ratio, N k3_max) {
  const N zero = Constant(d, 0), one = Constant(d, 1);
  switch (estimator) {
    case POLKA_KL_K1:
      return {d, IfThenElse(d == d, one, d)};
    case POLKA_KL_ABS:
      return {Abs(d), IfThenElse(d > zero, one, IfThenElse(d < zero, zero - one, d))};
    case POLKA_KL_K2:
      return {Constant(d, 0.5) * d * d, d};
    default: {
      const ExpRemainder<N> r = ExpLessTaylor(zero - Clamp(d, max_log_ratio));
      const auto over = r.second > k3_max;
      const auto constant = Or(over, Abs(d) > max_log_ratio);
      return {IfThenElse(over, k3_max, r.second), IfThenElse(constant, zero, zero - r.first)};
    }
  }
}

// The estimate with the gradient that the mode asks for. `old_log_prob` is read by
// IMPORTANCE_WEIGHTED alone; log_prob itself in its place gives weight 1 with the derivative of
// exp(log_prob - stopgrad(log_prob)).
template <class N>
POLKA_MATH Differentiable<N> TokenKl(int32_t estimator, int32_t mode, N log_prob, N ref_log_prob, N old_log_prob,
                                     N max_log_ratio, N k3_max) {
  const N zero = Constant(log_prob, 0);
  const N d = log_prob - ref_log_prob;
  const Differentiable<N> k = KlEstimate(estimator, d, max_log_ratio, k3_max);
  switch (mode) {
    case POLKA_KL_STRAIGHT_THROUGH_K2:
      return {k.value, d};
    case POLKA_KL_IMPORTANCE_WEIGHTED: {
      const N log_weight = log_prob - old_log_prob;
      const N weight = Exp(Clamp(log_weight, max_log_ratio));
      const N value = weight * k.value;
      return {value, IfThenElse(Abs(log_weight) > max_log_ratio, zero, value) + weight * k.derivative};
    }
    case POLKA_KL_DETACHED:
      return {k.value, zero};
    default:
      return k;
  }
}
