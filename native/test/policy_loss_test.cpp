// The policy loss against a plain f64 reference: the loss written as one would write it for automatic
// differentiation, with every stopped gradient a second, frozen argument. Its value checks the loss,
// its finite differences check the gradients.
#include <gtest/gtest.h>
#include <math.h>

#include <algorithm>
#include <random>
#include <vector>

#include "policy_batch.h"

namespace polka {
namespace {

#include "number.inl"
#include "token_kl.inl"
#include "policy_term.inl"
#include "policy_loss.inl"

using std::clamp;
using std::max;
using std::min;
using test::Compute;
using test::PolicyBatch;
using test::PolicyResult;
using test::RandomBatch;

using Doubles = std::vector<double>;

double KlValue(int32_t estimator, double d, const polka_policy_objective& o) {
  if (estimator == POLKA_KL_K1) return d;
  if (estimator == POLKA_KL_ABS) return fabs(d);
  if (estimator == POLKA_KL_K2) return d * d / 2;
  const double bound = o.max_log_ratio, c = clamp(d, -bound, bound);
  return min<double>(exp(-c) - 1 + c, o.k3_max);
}

// The KL estimate at log-prob x, of which `frozen` is the value that carries no gradient.
double KlTerm(const polka_policy_objective& o, double x, double frozen, double ref, double old, bool has_old) {
  switch (o.kl_gradient_mode) {
    case POLKA_KL_STRAIGHT_THROUGH_K2:
      return KlValue(o.kl_estimator, frozen - ref, o) + (pow(x - ref, 2) - pow(frozen - ref, 2)) / 2;
    case POLKA_KL_IMPORTANCE_WEIGHTED: {
      const double bound = o.max_log_ratio;
      return exp(clamp(x - (has_old ? old : frozen), -bound, bound)) * KlValue(o.kl_estimator, x - ref, o);
    }
    case POLKA_KL_DETACHED:
      return KlValue(o.kl_estimator, frozen - ref, o);
    default:
      return KlValue(o.kl_estimator, x - ref, o);
  }
}

double ClipValue(const polka_policy_objective& o, double ratio, double a) {
  const double bounded = o.ratio_max > 0 ? min<double>(ratio, o.ratio_max) : ratio;
  const double l = max(-a * bounded, -a * clamp<double>(ratio, 1 - o.clip_low, 1 + o.clip_high));
  return o.dual_clip > 0 && a < 0 ? min(l, -a * o.dual_clip) : l;
}

// One token as the reference sees it: `r` lives, everything named frozen is stopped.
struct Token {
  double x, frozen, old, r, frozen_r, a, phi, sum;
};

bool Keeps(const polka_policy_objective& o, const Token& t) {
  const double p = exp(t.frozen), p0 = exp(t.old), moved = p - p0, a = t.a;
  if (o.kind == POLKA_OBJECTIVE_DPPO_TV) return a > 0 ? moved <= o.trust_high : moved >= -o.trust_low;
  if (o.kind == POLKA_OBJECTIVE_IPO) return moved <= o.trust_high && moved >= -o.trust_low;
  const double kl = p0 * (t.old - t.frozen) + (1 - p0) * log((1 - p0 + 1e-8) / (1 - p + 1e-8));
  return a > 0 ? kl <= o.trust_high || p <= p0 : kl <= o.trust_low || p >= p0;
}

double TermValue(const polka_policy_objective& o, const Token& t) {
  const double low = 1 - o.clip_low, high = 1 + o.clip_high, clipped = clamp(t.frozen_r, low, high);
  switch (o.kind) {
    case POLKA_OBJECTIVE_CISPO:
      return -t.a * clipped * t.x;
    case POLKA_OBJECTIVE_CISPO_MASKED:
      return (t.a > 0 && t.frozen_r > high) || (t.a < 0 && t.frozen_r < low) ? 0 : -t.a * clipped * t.x;
    case POLKA_OBJECTIVE_MASKED_IS:
      return low <= t.frozen_r && t.frozen_r <= high ? -t.a * t.frozen_r * t.x : 0;
    case POLKA_OBJECTIVE_TOPR:
      return t.a > 0 ? -t.a * t.x : -t.a * clipped * t.x;
    case POLKA_OBJECTIVE_REINFORCE:
      return -t.a * t.x;
    case POLKA_OBJECTIVE_SAPO: {
      const double tau = t.a > 0 ? o.tau_positive : o.tau_negative;
      return -t.a * 4 / tau / (1 + exp(-tau * (t.r - 1)));
    }
    case POLKA_OBJECTIVE_DPPO_TV:
    case POLKA_OBJECTIVE_DPPO_KL:
    case POLKA_OBJECTIVE_IPO:
      if (!Keeps(o, t)) return 0;
      return o.surrogate_max == 0 ? -t.a * t.r : -t.a * min<double>(t.frozen_r, o.surrogate_max) * t.x;
    case POLKA_OBJECTIVE_GMPO:
      return -t.a * t.r;
    case POLKA_OBJECTIVE_VESPO:
      return -t.a * t.phi * t.x;
    case POLKA_OBJECTIVE_REGRESSION:
      return pow(o.regression_scale * t.sum - t.a, 2);
    default:
      return ClipValue(o, t.r, t.a);
  }
}

double HeldValue(const polka_policy_objective& o, double d, double a) {
  if (o.kind != POLKA_OBJECTIVE_GMPO) return d;
  return a > 0 ? min<double>(d, o.clip_high) : a < 0 ? max<double>(d, -o.clip_low) : d;
}

double Loss(const PolicyBatch& b, const Doubles& x, const Doubles& frozen, const Doubles& entropy) {
  const polka_policy_objective& o = b.objective;
  const double bound = o.max_log_ratio;
  double loss = 0;
  for (int64_t s = 0; s < b.Sequences(); ++s) {
    const auto counted = [&](int64_t i) { return b.mask.empty() || b.mask[i] != 0; };
    const auto old_of = [&](int64_t i) { return b.old.empty() ? frozen[i] : b.old[i]; };
    const auto advantage = [&](int64_t i) -> double { return b.advantages[b.advantage_per_sequence ? s : i]; };
    const auto weight_of = [&](int64_t i) { return b.weights.empty() ? 1.0 : b.weights[i]; };
    double live = 0, stopped = 0, log_weight = 0, clamped = 0, drift = 0, tokens = 0;
    for (int64_t i = b.offsets[s]; i < b.offsets[s + 1]; ++i) {
      if (!counted(i)) continue;
      live += HeldValue(o, x[i] - old_of(i), advantage(i));
      stopped += HeldValue(o, frozen[i] - old_of(i), advantage(i));
      log_weight += log(weight_of(i));
      clamped += clamp(frozen[i] - old_of(i), -bound, bound);
      drift += (b.behaviour.empty() ? old_of(i) : b.behaviour[i]) - frozen[i];
      tokens += 1;
    }
    const auto weight = [&](double divisor, const std::vector<int64_t>& counts) {
      return divisor == 0 ? 0 : 1 / divisor / (counts.empty() ? 1.0 : max<double>(static_cast<double>(counts[s]), 1));
    };
    for (int64_t i = b.offsets[s]; i < b.offsets[s + 1]; ++i) {
      if (!counted(i)) continue;
      const double old = old_of(i), a = advantage(i);
      double sum = 0;
      double log_ratio = clamp(x[i] - old, -bound, bound), frozen_log_ratio = clamp(frozen[i] - old, -bound, bound);
      if (o.ratio_level == POLKA_RATIO_SEQUENCE) {
        const double own = HeldValue(o, x[i] - old, a) - HeldValue(o, frozen[i] - old, a);
        log_ratio = o.sequence_gradient == POLKA_SEQUENCE_THROUGH_MEAN ? live / tokens : own + stopped / tokens;
        sum = log_ratio * tokens;
        log_ratio = min<double>(log_ratio, o.sequence_max_log_ratio);
        frozen_log_ratio = min<double>(stopped / tokens, o.sequence_max_log_ratio);
      }
      const double shape = a < 0 ? o.shape_negative : o.shape_positive,
                   rate = a < 0 ? o.rate_negative : o.rate_positive;
      const double log_w = clamp(clamped + log_weight, log(1e-8), 20.0);
      const double phi = exp(rate + shape * log_w - rate * exp(log_w));
      double term = TermValue(o, {x[i], frozen[i], old, exp(log_ratio), exp(frozen_log_ratio), a, phi, sum});
      if (o.anchor_estimator != POLKA_KL_NONE) {
        term += o.anchor_coefficient * (b.anchor_weights.empty() ? 1.0 : b.anchor_weights[i]) *
                KlValue(o.anchor_estimator, x[i] - old, o);
      }
      const bool masked = (o.entropy_threshold > 0 && entropy[i] < o.entropy_threshold) ||
                          (o.off_policy_max > 0 && a < 0 && drift / tokens > o.off_policy_max);
      term *= masked ? 0 : o.kind == POLKA_OBJECTIVE_GMPO ? exp(log_weight / tokens) : 1;
      if (o.kind < POLKA_OBJECTIVE_GMPO || o.kind == POLKA_OBJECTIVE_REGRESSION) term *= weight_of(i);
      if (o.kl_estimator != POLKA_KL_NONE) {
        term += o.kl_coefficient * KlTerm(o, x[i], frozen[i], b.ref[i], old, !b.old.empty());
      }
      loss += weight(b.divisor, b.loss_tokens) * term -
              weight(b.entropy_divisor, b.entropy_tokens) * o.entropy_coefficient * entropy[i] -
              weight(b.nll_divisor, b.loss_tokens) * o.nll_coefficient *
                  (b.nll_weights.empty() ? (a > 0 ? 1.0 : 0.0) : b.nll_weights[i]) * x[i];
    }
  }
  return loss;
}

void ExpectMatchesTheReference(const PolicyBatch& b) {
  const PolicyResult result = Compute(b);
  const Doubles frozen(b.log_prob.begin(), b.log_prob.end()), entropy(b.entropy.begin(), b.entropy.end());
  EXPECT_NEAR(result.metrics.loss, Loss(b, frozen, frozen, entropy), 2e-6);
  const double h = 1e-6;
  for (int64_t i = 0; i < b.Rows(); ++i) {
    Doubles up = frozen, down = frozen, more = entropy, less = entropy;
    up[i] += h, down[i] -= h, more[i] += h, less[i] -= h;
    const double slope = (Loss(b, up, frozen, entropy) - Loss(b, down, frozen, entropy)) / (2 * h);
    EXPECT_NEAR(result.d_log_prob[i], slope, 2e-6) << "row " << i;
    const double entropy_slope = (Loss(b, frozen, frozen, more) - Loss(b, frozen, frozen, less)) / (2 * h);
    EXPECT_NEAR(result.d_entropy[i], entropy_slope, 2e-6) << "row " << i;
  }
}

TEST(PolicyLossTest, EveryCombinationOfOptionsMatchesTheReference) {
  std::mt19937_64 random(11);
  const auto one_of = [&](auto... values) {
    const float all[] = {static_cast<float>(values)...};
    return all[random() % sizeof...(values)];
  };
  const auto flip = [&] { return random() % 2 == 0; };
  for (int round = 0; round < 1500; ++round) {
    PolicyBatch b = RandomBatch(round);
    polka_policy_objective& o = b.objective;
    o = test::ObjectiveOf(static_cast<int32_t>(random() % (POLKA_OBJECTIVE_REGRESSION + 1)));
    o.clip_low = one_of(0.05, 0.2, 3e-4, 10.0, INFINITY);
    o.clip_high = one_of(0.05, 0.28, 4e-4, INFINITY);
    const bool clip = o.kind == POLKA_OBJECTIVE_CLIP;
    o.dual_clip = clip ? one_of(0, 1.2, 3) : 0;
    o.ratio_max = clip && isfinite(o.clip_high) ? one_of(0, 1.5, 8) : 0;
    o.surrogate_max = one_of(0, 1.1, 3);
    o.trust_low = one_of(0.01, 0.2);
    o.trust_high = one_of(0.01, 0.2);
    o.entropy_threshold = one_of(0, 1.5);
    o.off_policy_max = one_of(0, 0.02);
    o.anchor_estimator = static_cast<int32_t>(random() % 5);
    o.anchor_coefficient = o.anchor_estimator == POLKA_KL_NONE ? 0 : one_of(0, 0.3, 2);
    o.nll_coefficient = one_of(0, 0.2);
    o.max_log_ratio = one_of(0.25, 20, INFINITY);
    o.sequence_max_log_ratio = one_of(0.05, 20, INFINITY);
    o.k3_max = one_of(0.1, INFINITY);
    if (flip()) o.ratio_level = POLKA_RATIO_SEQUENCE;
    o.sequence_gradient = flip() ? POLKA_SEQUENCE_TOKEN_DETACHED : POLKA_SEQUENCE_THROUGH_MEAN;
    o.kl_estimator = static_cast<int32_t>(random() % 5);
    o.kl_gradient_mode = static_cast<int32_t>(random() % 4);
    o.kl_coefficient = o.kl_estimator == POLKA_KL_NONE ? 0 : one_of(0, 0.04, 1);
    o.entropy_coefficient = one_of(0, 0.01, -0.5);
    b.advantage_per_sequence = flip();
    if (flip()) b.old = {};
    if (flip()) b.weights = {};
    if (flip()) b.behaviour = {};
    if (flip()) b.anchor_weights = {};
    if (flip()) b.nll_weights = {};
    if (flip()) b.mask = {};
    if (flip()) b.loss_tokens = {};
    if (flip()) b.entropy_tokens = b.loss_tokens;
    SCOPED_TRACE(testing::Message() << "round " << round << " kind " << o.kind);
    ExpectMatchesTheReference(b);
  }
}

TEST(PolicyLossTest, TheTermsDerivativeIsRightOnBothSidesOfEveryBound) {
  const double h = 1e-7;
  for (double a : {-1.3, 0.7}) {
    for (float dual : {0.0f, 2.0f}) {
      for (float ratio_max : {0.0f, 3.0f}) {
        polka_policy_objective o = test::PpoObjective();
        o.dual_clip = dual;
        o.ratio_max = ratio_max;
        for (double bound : {1 - double{o.clip_low}, 1 + double{o.clip_high}, 2.0, 3.0, exp(20.0)}) {
          for (double side : {-1e-5, 1e-5}) {
            const auto value = [&](double x) { return ClippedTerm(o, TokenRatio(x, 0.0, 20.0), a).loss; };
            const double x = log(bound) + side;
            const double slope = (value(x + h) - value(x - h)) / (2 * h);
            const double actual = ClippedTerm(o, TokenRatio(x, 0.0, 20.0), a).ratio_derivative;
            EXPECT_NEAR(actual, slope, 1e-7 * fmax(1, bound)) << "bound " << bound << " side " << side;
          }
        }
      }
    }
  }
}

TEST(PolicyLossTest, AClippedTokenHasExactlyNoGradientAndATieStillFlows) {
  PolicyBatch b;
  b.offsets = {0, 6};
  // Ratios 1.3 and 0.7 on the wrong side and on the right side of the range, then twice exactly 1.
  b.old = {-1, -1, -1, -1, -1, -1};
  b.log_prob = {-1 + logf(1.3f), -1 + logf(0.7f), -1 + logf(1.3f), -1 + logf(0.7f), -1, -1};
  b.advantages = {1, -1, -1, 1, 1, -1};
  b.objective.clip_low = b.objective.clip_high = 0;
  const PolicyResult result = Compute(b);
  EXPECT_EQ(result.d_log_prob[0], 0);
  EXPECT_EQ(result.d_log_prob[1], 0);
  EXPECT_NEAR(result.d_log_prob[2], 1.3, 1e-6);
  EXPECT_NEAR(result.d_log_prob[3], -0.7, 1e-6);
  EXPECT_EQ(result.d_log_prob[4], -1);
  EXPECT_EQ(result.d_log_prob[5], 1);
  EXPECT_EQ(result.metrics.clipped_sum, 2);
}

TEST(PolicyLossTest, MetricsCountWhatTheyAreNamedFor) {
  PolicyBatch b;
  b.offsets = {0, 3, 3, 6, 8};
  b.mask = {1, 1, 1, 1, 1, 0, 0, 0};
  const float ratios[] = {1.5f, 0.5f, 1.1f, 4.0f, 0.9f, 1, 1, 1};
  for (float r : ratios) {
    b.log_prob.push_back(-1 + logf(r));
    b.old.push_back(-1);
    b.ref.push_back(-1.5f);
    b.entropy.push_back(2 * r);
  }
  b.advantages = {1, -1, -1, -1, 1, 1, 1, 1};
  b.objective.kl_estimator = POLKA_KL_K2;
  b.objective.dual_clip = 3;
  b.divisor = 10;
  b.entropy_divisor = 5;
  b.objective.kl_coefficient = 0.5;
  b.objective.entropy_coefficient = 0.25;
  const polka_policy_loss_metrics m = Compute(b).metrics;
  double approx_kl = 0, kl = 0;
  for (int i = 0; i < 5; ++i) approx_kl -= log(double{ratios[i]}), kl += pow(log(double{ratios[i]}) + 0.5, 2) / 2;
  EXPECT_EQ(m.tokens, 5);
  EXPECT_EQ(m.sequences, 2);
  EXPECT_EQ(m.clipped_sum, 2);
  EXPECT_EQ(m.dual_clipped_sum, 1);
  EXPECT_EQ(m.clip_low_sum, 1);
  EXPECT_EQ(m.clip_high_sum, 1);
  EXPECT_EQ(m.clip_low_sequences, 0);
  EXPECT_EQ(m.clip_high_sequences, 0);
  EXPECT_NEAR(m.approx_kl_sum, approx_kl, 1e-6);
  EXPECT_NEAR(m.kl_sum, kl, 1e-6);
  EXPECT_NEAR(m.entropy_sum, 16, 1e-6);
  EXPECT_NEAR(m.ratio_sum, 8, 1e-6);
  EXPECT_NEAR(m.ratio_min, 0.5, 1e-7);
  EXPECT_NEAR(m.ratio_max, 4, 1e-6);
  EXPECT_EQ(m.non_finite_rows, 0);
  EXPECT_EQ(m.first_non_finite_row, -1);
  EXPECT_NEAR(m.policy_loss, (-1.28 + 0.8 + 1.1 + 3 - 0.9) / 10, 1e-7);
  EXPECT_NEAR(m.kl_loss, kl / 10, 1e-7);
  EXPECT_NEAR(m.entropy_loss, 3.2, 1e-7);
  EXPECT_NEAR(m.loss, m.policy_loss + 0.5 * m.kl_loss - 0.25 * m.entropy_loss, 1e-15);
}

TEST(PolicyLossTest, SequenceMetricsCountSequencesWithAClippedToken) {
  PolicyBatch b;
  b.offsets = {0, 2, 4, 6};
  b.log_prob = {-1, -1.5f, -1.2f, -0.6f, -2, -2};
  b.old = {-1.5f, -1.5f, -0.6f, -0.6f, -2, -2};
  b.advantages = {1, -1, -1, 1, 1, -1};
  b.objective.ratio_level = POLKA_RATIO_SEQUENCE;
  b.objective.clip_low = b.objective.clip_high = 0.1f;
  const polka_policy_loss_metrics m = Compute(b).metrics;
  EXPECT_EQ(m.clip_high_sequences, 1);
  EXPECT_EQ(m.clip_low_sequences, 1);
  EXPECT_EQ(m.clip_high_sum, 1);
  EXPECT_EQ(m.clip_low_sum, 1);
  EXPECT_EQ(m.clipped_sum, 2);
  EXPECT_NEAR(m.ratio_max, exp(0.25), 1e-7);
  EXPECT_NEAR(m.ratio_min, exp(-0.3), 1e-7);
  EXPECT_NEAR(m.approx_kl_sum, 0.1, 1e-6);
}

TEST(PolicyLossTest, WeightsTouchThePolicyPartOnly) {
  PolicyBatch b = RandomBatch(3);
  b.objective.kl_estimator = POLKA_KL_K3;
  b.objective.kl_coefficient = b.objective.entropy_coefficient = 1;
  b.weights.assign(b.weights.size(), 0.0f);
  const PolicyResult result = Compute(b);
  EXPECT_EQ(result.metrics.policy_loss, 0);
  PolicyBatch unweighted = b;
  unweighted.weights = {};
  const PolicyResult full = Compute(unweighted);
  EXPECT_EQ(result.metrics.kl_loss, full.metrics.kl_loss);
  EXPECT_EQ(result.metrics.entropy_loss, full.metrics.entropy_loss);
  EXPECT_EQ(result.d_entropy, full.d_entropy);
}

TEST(PolicyLossTest, TheGradientScaleMultipliesGradientsAndNothingElse) {
  PolicyBatch b = RandomBatch(4);
  b.objective.entropy_coefficient = 0.5;
  const PolicyResult plain = Compute(b);
  b.gradient_scale = 1024;
  const PolicyResult scaled = Compute(b);
  for (int64_t i = 0; i < b.Rows(); ++i) {
    EXPECT_EQ(scaled.d_log_prob[i], 1024 * plain.d_log_prob[i]);
    EXPECT_EQ(scaled.d_entropy[i], 1024 * plain.d_entropy[i]);
  }
  EXPECT_EQ(scaled.metrics.loss, plain.metrics.loss);
}

}  // namespace
}  // namespace polka
