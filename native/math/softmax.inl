// Softmax of one row, in pieces: tiles of columns give statistics, statistics merge in column order,
// and a row's saved pair (max, log_sum) gives probabilities and gradients back.
//
// y are the logits after softcap and before temperature T. Needs number.inl.

// What is known of a stretch of columns. Sums are relative to `max` and leave the target out, so
// that a confident target keeps its digits: 1 - p_t = rest / (1 + rest).
struct SoftmaxStats {
  float max;     // -inf where no column is finite
  float rest;    // sum of e_j = exp((y_j - max) / T)
  float moment;  // sum of e_j (y_j - max) / T, for the entropy
  float square;  // sum of e_j^2
  float second;  // sum of exp((y_j - max) / T2), T2 the second temperature
};

// Shape of the logits themselves, target included: for self-certainty and top-1 / top-2.
struct SoftmaxShape {
  float finite;      // number of finite columns
  float finite_sum;  // sum of (y_j - shift) over them
  float shift;       // what finite_sum is relative to
  float top1, top2;  // largest and second largest y
};

POLKA_MATH SoftmaxStats EmptyStats() { return {-INFINITY, 0, 0, 0, 0}; }
POLKA_MATH SoftmaxShape EmptyShape() { return {0, 0, 0, -INFINITY, -INFINITY}; }

// Brings sums taken relative to s.max to a new maximum. A stretch whose maximum is -inf has nothing
// to rescale: its sums are 0, or NaN where it holds a NaN.
POLKA_MATH SoftmaxStats Rescale(SoftmaxStats s, float max, float inv_temperature, float inv_second) {
  if (s.max == max || s.max == -INFINITY) return s;
  const float shift = (s.max - max) * inv_temperature;
  const float c = expf(shift);
  s.moment = c == 0 ? 0.0f * s.rest : c * MulAdd(shift, s.rest, s.moment);
  s.rest *= c;
  s.square *= c * c;
  s.second *= expf((s.max - max) * inv_second);
  s.max = max;
  return s;
}

// Merges two stretches, the left one first.
POLKA_MATH SoftmaxStats Merge(SoftmaxStats a, SoftmaxStats b, float inv_temperature, float inv_second) {
  const float max = a.max > b.max ? a.max : b.max;
  a = Rescale(a, max, inv_temperature, inv_second);
  b = Rescale(b, max, inv_temperature, inv_second);
  return {max, a.rest + b.rest, a.moment + b.moment, a.square + b.square, a.second + b.second};
}

// The left stretch's shift is kept, or the first one that has a finite column.
POLKA_MATH SoftmaxShape Merge(SoftmaxShape a, SoftmaxShape b) {
  if (a.finite == 0) a.shift = b.shift;
  const float low = a.top1 < b.top1 ? a.top1 : b.top1;
  const float second = a.top2 > b.top2 ? a.top2 : b.top2;
  if (b.finite != 0) a.finite_sum += MulAdd(b.finite, b.shift - a.shift, b.finite_sum);
  return {a.finite + b.finite, a.finite_sum, a.shift, a.top1 > b.top1 ? a.top1 : b.top1, low > second ? low : second};
}

// ln of the sum of exponentials, the target's own e = exp((y_t - max) / T) put back. When the target
// is the maximum, e is 1 and log1p keeps every digit of a small rest.
POLKA_MATH float LogSum(float rest, float target_exp, bool target_is_max) {
  return target_is_max ? log1pf(rest) : logf(rest + target_exp);
}

// Which statistics a call needs beyond max and log_sum.
struct SoftmaxWants {
  bool entropy;
  bool square;
  bool shape;
};

// A row's results; those that were not wanted are unspecified.
struct SoftmaxOutputs {
  float max, log_sum, lse, log_prob;
  float entropy, sum_p2;
  float finite, mean_logit, self_certainty, top1, top2;
  float second_log_prob;
};

// ln p_j.
POLKA_MATH float LogProbability(float y, float max, float log_sum, float temperature) {
  return (y - max) / temperature - log_sum;
}

// From the merged statistics of a whole row to its results. `y` is the target's, where there is one;
// second_temperature is 0 where it is not wanted. A row without a finite logit has no distribution.
POLKA_MATH SoftmaxOutputs FinishSoftmax(const SoftmaxStats& s, const SoftmaxShape& shape, bool has_target, float y,
                                        float temperature, float second_temperature, const SoftmaxWants& wants) {
  SoftmaxOutputs out = {};
  const float shift = (y - s.max) / temperature;
  const float target_exp = has_target ? expf(shift) : 0;
  const bool target_is_max = has_target && y == s.max;
  out.max = s.max;
  out.log_sum = s.max == -INFINITY ? NAN : LogSum(s.rest, target_exp, target_is_max);
  out.lse = s.max / temperature + out.log_sum;
  out.log_prob = has_target ? LogProbability(y, s.max, out.log_sum, temperature) : 0;
  const float sum = s.rest + target_exp;
  if (wants.entropy) {
    const float target_moment = target_exp == 0 ? 0 : target_exp * shift;
    out.entropy = out.log_sum - (s.moment + target_moment) / sum;
  }
  if (wants.square) out.sum_p2 = fmaf(target_exp, target_exp, s.square) / (sum * sum);
  if (wants.shape) {
    const float rest = shape.finite_sum / shape.finite;
    const float relative = ((shape.shift - s.max) + rest) / temperature;
    out.finite = shape.finite;
    out.mean_logit = out.log_sum != out.log_sum ? NAN : (shape.shift + rest) / temperature;
    out.self_certainty = out.log_sum - relative - logf(shape.finite);
    out.top1 = expf(LogProbability(shape.top1, s.max, out.log_sum, temperature));
    out.top2 = expf(LogProbability(shape.top2, s.max, out.log_sum, temperature));
  }
  if (second_temperature != 0 && has_target) {
    const float e2 = expf((y - s.max) / second_temperature);
    const float log_sum2 = s.max == -INFINITY ? NAN : LogSum(s.second, e2, target_is_max);
    out.second_log_prob = LogProbability(y, s.max, log_sum2, second_temperature);
  }
  return out;
}

// d(sum of upstream . outputs) / dx_j = p_j (a + b ln p_j) + c [+ the target's own term], with
// x = y / T. In terms of e_j = 2^(x2_j), the exponential that a kernel has at hand:
//   e_j (constant + slope x2_j) + uniform.
struct SoftmaxGradient {
  float constant;
  float slope;
  float uniform;  // finite columns only
};

// Coefficients for upstream gradients of log-prob, entropy and self-certainty, times `scale`
// (gradient scale over temperature). ln p_j = x2_j ln 2 - bias.
POLKA_MATH SoftmaxGradient GradientCoefficients(float d_log_prob, float d_entropy, float d_self_certainty,
                                                float entropy, float finite, float bias, float scale) {
  const float ln2 = 0.693147181f;
  const float a = d_self_certainty - d_log_prob - (d_entropy == 0 ? 0.0f : d_entropy * entropy);
  const float b = -d_entropy;
  const float norm = expf(-bias) * scale;
  return {(a - b * bias) * norm, b * ln2 * norm, d_self_certainty == 0 ? 0.0f : -d_self_certainty / finite * scale};
}

// One column's gradient without `uniform`. x2 must be finite: where it is -inf, e is 0 and the
// caller bounds x2 from below.
template <class N>
POLKA_MATH N GradientElement(N e, N x2, N constant, N slope) {
  return e * MulAdd(slope, x2, constant);
}

// The target's column, with 1 - p_t taken from expm1 so that a confident target keeps its digits.
POLKA_MATH float TargetGradient(float log_prob, float d_log_prob, float d_entropy, float d_self_certainty,
                                float entropy, float finite, float scale) {
  float g = d_log_prob == 0 ? 0.0f : -d_log_prob * expm1f(log_prob);
  if (d_entropy != 0) g -= d_entropy * expf(log_prob) * (log_prob + entropy);
  if (d_self_certainty != 0) g += d_self_certainty * (expf(log_prob) - 1.0f / finite);
  return g * scale;
}
