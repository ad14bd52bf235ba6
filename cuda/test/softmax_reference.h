// What log_prob and its gradient are, written plainly in f64.
#pragma once

#include <math.h>

#include <algorithm>
#include <vector>

#include "test/logits.h"

namespace polka::cuda::test {

struct SoftmaxOptions {
  double temperature = 1;
  double second_temperature = 0;
  double softcap = 0;
  int64_t valid_vocab = 0;
  std::vector<uint8_t> keep;  // [rows, stride] bits
  int64_t keep_stride = 0;
};

struct SoftmaxReference {
  double log_prob, max, log_sum, lse, entropy, sum_p2, mean_logit, self_certainty, finite, top1, top2, second_log_prob;
  std::vector<double> y;  // after softcap and keep-mask, before temperature
  double temperature;
  int64_t target;

  double LogP(int64_t j) const { return (y[static_cast<size_t>(j)] - max) / temperature - log_sum; }
};

inline SoftmaxReference ReferenceOf(const Logits& logits, int64_t row, int64_t target, const SoftmaxOptions& o) {
  SoftmaxReference s = {};
  s.temperature = o.temperature;
  s.target = target;
  const int64_t columns = o.valid_vocab == 0 ? logits.layout().cols : o.valid_vocab;
  s.y.resize(static_cast<size_t>(columns));
  for (int64_t j = 0; j < columns; ++j) {
    double y = logits.At(row, j);
    if (o.softcap != 0 && !isinf(y)) y = o.softcap * tanh(y / o.softcap);
    const bool kept =
        o.keep.empty() || j == target || ((o.keep[static_cast<size_t>(row * o.keep_stride + j / 8)] >> (j % 8)) & 1);
    s.y[static_cast<size_t>(j)] = kept ? y : -INFINITY;
  }
  s.max = -INFINITY;
  for (const double y : s.y) s.max = isnan(y) || isnan(s.max) ? NAN : std::max(s.max, y);
  const double t = o.temperature;
  // The terms other than the largest, so that a confident row keeps its digits.
  const auto log_sum_at = [&](double temperature) {
    double rest = 0;
    bool left_out = false;
    for (const double y : s.y) {
      if (y == s.max && !left_out) {
        left_out = true;
      } else {
        rest += exp((y - s.max) / temperature);
      }
    }
    return log1p(rest);
  };
  s.log_sum = log_sum_at(t);
  s.lse = s.max / t + s.log_sum;
  s.log_prob = s.LogP(target);
  double sum = 0;
  s.top1 = s.top2 = 0;
  for (int64_t j = 0; j < columns; ++j) {
    const double lp = s.LogP(j), p = exp(lp);
    if (p != 0 || isnan(p)) s.entropy -= p * lp;
    s.sum_p2 += p * p;
    if (s.y[static_cast<size_t>(j)] > -INFINITY) {
      s.finite += 1;
      sum += s.y[static_cast<size_t>(j)] / t;
    }
    if (p > s.top1) {
      s.top2 = s.top1;
      s.top1 = p;
    } else if (p > s.top2) {
      s.top2 = p;
    }
  }
  s.mean_logit = sum / s.finite;
  s.self_certainty = s.lse - s.mean_logit - log(s.finite);
  if (o.second_temperature != 0) {
    s.second_log_prob =
        (s.y[static_cast<size_t>(target)] - s.max) / o.second_temperature - log_sum_at(o.second_temperature);
  }
  return s;
}

// d(a log_prob + b entropy + c self_certainty) / d logits of column j.
inline double ReferenceGradient(const SoftmaxReference& s, const Logits& logits, int64_t row, int64_t j,
                                const SoftmaxOptions& o, double a, double b, double c) {
  const double lp = s.LogP(j), p = exp(lp);
  const bool finite = s.y[static_cast<size_t>(j)] > -INFINITY;
  if (s.y[static_cast<size_t>(s.target)] == -INFINITY) a = 0;
  double d = a * (j == s.target ? -expm1(lp) : -p);
  if (b != 0 && p != 0) d -= b * p * (lp + s.entropy);
  if (c != 0 && finite) d += c * (p - 1 / s.finite);
  d /= o.temperature;
  if (o.softcap != 0) {
    const double u = tanh(logits.At(row, j) / o.softcap);
    d *= finite ? 1 - u * u : 0;
  }
  return finite || isnan(d) ? d : 0;
}

}  // namespace polka::cuda::test
