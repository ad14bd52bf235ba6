// token_kl on every compiled instruction set against an f64 reference, finite differences, and the
// edges: clamps, masks, infinities, tails.
#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <vector>

#include "arguments.h"

namespace polka {
namespace {

#include "number.inl"
#include "token_kl.inl"

using test::Address;

constexpr int32_t kEstimators[] = {POLKA_KL_K1, POLKA_KL_ABS, POLKA_KL_K2, POLKA_KL_K3};
constexpr int32_t kModes[] = {POLKA_KL_PATHWISE, POLKA_KL_STRAIGHT_THROUGH_K2, POLKA_KL_IMPORTANCE_WEIGHTED,
                              POLKA_KL_DETACHED};

struct Options {
  int32_t estimator = POLKA_KL_K3;
  int32_t mode = POLKA_KL_PATHWISE;
  float max_log_ratio = 20;
  float k3_max = INFINITY;
};

struct Tokens {
  std::vector<float> log_prob, ref, old, upstream;
  std::vector<uint8_t> mask;
};

struct Result {
  std::vector<float> kl, gradient;
  int32_t target;
};

Result Compute(const Tokens& t, const Options& o, int32_t threads = 1) {
  Result result = {std::vector<float>(t.log_prob.size(), -7), std::vector<float>(t.log_prob.size(), -7), 0};
  const auto address = [](const auto& v) { return v.empty() ? 0 : Address(v.data()); };
  polka_token_kl_args args = {};
  args.struct_size = sizeof args;
  args.exec.threads = threads;
  args.count = static_cast<int64_t>(t.log_prob.size());
  args.log_prob = address(t.log_prob);
  args.ref_log_prob = address(t.ref);
  args.old_log_prob = address(t.old);
  args.mask = address(t.mask);
  args.upstream = address(t.upstream);
  args.kl = address(result.kl);
  args.d_log_prob = address(result.gradient);
  args.estimator = o.estimator;
  args.gradient_mode = o.mode;
  args.max_log_ratio = o.max_log_ratio;
  args.k3_max = o.k3_max;
  EXPECT_EQ(polka_token_kl(&args), POLKA_OK) << polka_last_error();
  result.target = args.exec.ran_target;
  return result;
}

// Value and derivative of one token, from the formulas as one would write them on paper.
Differentiable<double> Reference(double lp, double ref, double old, const Options& o) {
  const double d = lp - ref, bound = o.max_log_ratio;
  const double c = fmin(fmax(d, -bound), bound);
  double value = 0, slope = 0;
  switch (o.estimator) {
    case POLKA_KL_K1:
      value = d, slope = 1;
      break;
    case POLKA_KL_ABS:
      value = fabs(d), slope = d > 0 ? 1 : d < 0 ? -1 : 0;
      break;
    case POLKA_KL_K2:
      value = d * d / 2, slope = d;
      break;
    default:
      value = static_cast<double>(expm1l(-static_cast<long double>(c)) + static_cast<long double>(c));
      slope = c == d ? -expm1(-d) : 0;
      if (value > o.k3_max) value = o.k3_max, slope = 0;
  }
  if (o.mode == POLKA_KL_STRAIGHT_THROUGH_K2) slope = d;
  if (o.mode == POLKA_KL_DETACHED) slope = 0;
  if (o.mode == POLKA_KL_IMPORTANCE_WEIGHTED) {
    const double log_weight = lp - old, w = exp(fmin(fmax(log_weight, -bound), bound));
    slope = w * slope + (fabs(log_weight) <= bound ? w * value : 0);
    value *= w;
  }
  return {value, slope};
}

class TokenKlTest : public testing::TestWithParam<int32_t> {
 protected:
  void SetUp() override { ASSERT_EQ(polka_force_target(GetParam()), POLKA_OK); }
  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }
};

INSTANTIATE_TEST_SUITE_P(EveryTarget, TokenKlTest, testing::ValuesIn(test::SupportedTargets()),
                         [](const auto& target) { return polka_target_name(target.param); });

Tokens RandomTokens(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<float> surprise(0.5f);
  std::normal_distribution<float> change(0, 0.5f);
  Tokens t;
  for (size_t i = 0; i < count; ++i) {
    const float lp = -surprise(random);
    t.log_prob.push_back(lp);
    t.ref.push_back(lp + change(random));
    t.old.push_back(lp + change(random));
    t.upstream.push_back(change(random));
  }
  return t;
}

TEST_P(TokenKlTest, EveryEstimatorAndModeMatchesTheReference) {
  const Tokens t = RandomTokens(1003, 1);
  for (int32_t estimator : kEstimators) {
    for (int32_t mode : kModes) {
      const Options o = {estimator, mode, 20, INFINITY};
      const Result result = Compute(t, o);
      ASSERT_EQ(result.target, GetParam());
      for (size_t i = 0; i < t.log_prob.size(); ++i) {
        const auto expected = Reference(t.log_prob[i], t.ref[i], t.old[i], o);
        EXPECT_NEAR(result.kl[i], expected.value, 5e-7 * fmax(1, fabs(expected.value)));
        EXPECT_NEAR(result.gradient[i], t.upstream[i] * expected.derivative,
                    5e-7 * fmax(1, fabs(t.upstream[i] * expected.derivative)));
      }
    }
  }
}

TEST_P(TokenKlTest, SmallDifferencesKeepTheirDigits) {
  Tokens t;
  for (float d = 1e-9f; d < 4; d *= 1.07f) {
    t.log_prob.insert(t.log_prob.end(), {d, -d});
    t.ref.insert(t.ref.end(), {0, 0});
  }
  const Result result = Compute(t, {});
  for (size_t i = 0; i < t.log_prob.size(); ++i) {
    const auto expected = Reference(t.log_prob[i], 0, 0, {});
    EXPECT_NEAR(result.kl[i] / expected.value, 1, 4e-7) << t.log_prob[i];
    EXPECT_NEAR(result.gradient[i] / expected.derivative, 1, 4e-7) << t.log_prob[i];
  }
}

TEST_P(TokenKlTest, LargeDifferencesAreClampedWithoutAGradient) {
  for (float size : {10.5f, 15.0f, 19.9f, 20.1f, 89.0f, 100.0f, INFINITY}) {
    const Tokens t = {{-1, -1}, {-1 - size, size - 1}, {}, {}, {}};
    for (const Options& o : {Options{}, Options{POLKA_KL_K3, POLKA_KL_PATHWISE, 20, 10}}) {
      const Result result = Compute(t, o);
      for (size_t i : {0, 1}) {
        const auto expected = Reference(t.log_prob[i], t.ref[i], 0, o);
        EXPECT_NEAR(result.kl[i] / expected.value, 1, 5e-7) << size;
        EXPECT_NEAR(result.gradient[i], expected.derivative, 5e-7 * fabs(expected.derivative)) << size;
        if (size > 20) {
          EXPECT_EQ(result.gradient[i], 0) << size;
        }
      }
    }
    for (int32_t estimator : {POLKA_KL_K1, POLKA_KL_ABS, POLKA_KL_K2}) {
      const Result result = Compute(t, {estimator, POLKA_KL_PATHWISE, 20, 10});
      for (size_t i : {0, 1}) {
        const auto expected = Reference(t.log_prob[i], t.ref[i], 0, {estimator, POLKA_KL_PATHWISE, 20, 10});
        EXPECT_FLOAT_EQ(result.kl[i], static_cast<float>(expected.value)) << size;
        EXPECT_FLOAT_EQ(result.gradient[i], static_cast<float>(expected.derivative)) << size;
      }
    }
  }
}

TEST_P(TokenKlTest, WithoutClampsK3OverflowsToInfinityNotNan) {
  const Options open = {POLKA_KL_K3, POLKA_KL_PATHWISE, INFINITY, INFINITY};
  const Tokens t = {{-1, -1, -1, 0, 0}, {99, 999, INFINITY, -100, -INFINITY}, {}, {}, {}};
  const Result result = Compute(t, open);
  EXPECT_EQ(result.kl, (std::vector<float>{INFINITY, INFINITY, INFINITY, 99, INFINITY}));
  EXPECT_EQ(result.gradient, (std::vector<float>{-INFINITY, -INFINITY, -INFINITY, 1, 1}));
  const Result held = Compute(t, {POLKA_KL_K3, POLKA_KL_PATHWISE, INFINITY, 10});
  EXPECT_EQ(held.kl, (std::vector<float>{10, 10, 10, 10, 10}));
  EXPECT_EQ(held.gradient, (std::vector<float>{0, 0, 0, 0, 0}));
}

TEST_P(TokenKlTest, NoUpstreamGradientIsNoGradientEvenWhereK3Overflows) {
  const Tokens t = {{-1, -1}, {99, 99}, {}, {0, -2}, {}};
  const Result result = Compute(t, {POLKA_KL_K3, POLKA_KL_PATHWISE, INFINITY, INFINITY});
  EXPECT_EQ(result.gradient, (std::vector<float>{0, INFINITY}));
}

TEST_P(TokenKlTest, AtTheClampTheGradientStillFlows) {
  const Tokens t = {{-1, -1}, {-21, 19}, {}, {}, {}};
  const Result result = Compute(t, {});
  EXPECT_NEAR(result.gradient[0], 1, 1e-6);
  EXPECT_NEAR(result.gradient[1] / -expm1(20.0), 1, 5e-7);
}

TEST_P(TokenKlTest, IdenticalLogProbsGiveExactlyZero) {
  Tokens t = RandomTokens(37, 3);
  t.ref = t.log_prob;
  t.upstream = {};
  for (int32_t estimator : kEstimators) {
    const Result result = Compute(t, {estimator, POLKA_KL_PATHWISE, 20, INFINITY});
    EXPECT_EQ(result.kl, std::vector<float>(37, 0.0f));
    EXPECT_EQ(result.gradient, std::vector<float>(37, estimator == POLKA_KL_K1 ? 1.0f : 0.0f));
  }
}

TEST_P(TokenKlTest, AnAbsentOldLogProbIsWeightOneWithAGradient) {
  Tokens t = RandomTokens(37, 4);
  Tokens on_policy = t;
  on_policy.old = {};
  t.old = t.log_prob;
  for (int32_t estimator : kEstimators) {
    const Options o = {estimator, POLKA_KL_IMPORTANCE_WEIGHTED, 20, INFINITY};
    const Result absent = Compute(on_policy, o), same = Compute(t, o);
    const Result plain = Compute(on_policy, {estimator, POLKA_KL_PATHWISE, 20, INFINITY});
    EXPECT_EQ(absent.kl, plain.kl);
    EXPECT_EQ(absent.kl, same.kl);
    EXPECT_EQ(absent.gradient, same.gradient);
  }
}

TEST_P(TokenKlTest, WhateverStandsUnderAMaskChangesNothing) {
  const float poison[] = {NAN, INFINITY, -INFINITY, 3e38f};
  Tokens clean = RandomTokens(101, 5);
  for (size_t i = 0; i < 101; ++i) clean.mask.push_back(i % 3 == 0 ? 0 : static_cast<uint8_t>(1 + i));
  Tokens dirty = clean;
  for (size_t i = 0; i < 101; i += 3) {
    dirty.log_prob[i] = dirty.ref[i] = dirty.old[i] = dirty.upstream[i] = poison[i % 4];
  }
  for (int32_t estimator : kEstimators) {
    for (int32_t mode : kModes) {
      const Options o = {estimator, mode, 20, INFINITY};
      const Result a = Compute(clean, o), b = Compute(dirty, o);
      EXPECT_EQ(a.kl, b.kl);
      EXPECT_EQ(a.gradient, b.gradient);
      for (size_t i = 0; i < 101; i += 3) {
        EXPECT_EQ(b.kl[i], 0);
        EXPECT_EQ(b.gradient[i], 0);
      }
    }
  }
}

TEST_P(TokenKlTest, ANanReachesItsOwnTokenOnly) {
  Tokens t = RandomTokens(35, 6);
  t.log_prob[7] = NAN;
  t.ref[33] = NAN;
  for (int32_t estimator : kEstimators) {
    const Result result = Compute(t, {estimator, POLKA_KL_PATHWISE, 20, 10});
    for (size_t i = 0; i < 35; ++i) {
      EXPECT_EQ(isnan(result.kl[i]) != 0, i == 7 || i == 33);
      EXPECT_EQ(isnan(result.gradient[i]) != 0, i == 7 || i == 33);
    }
  }
}

TEST_P(TokenKlTest, ATokensBitsDoNotDependOnItsPlaceOrTheThreads) {
  const Tokens t = RandomTokens(200000, 7);
  const Options o = {POLKA_KL_K3, POLKA_KL_IMPORTANCE_WEIGHTED, 20, INFINITY};
  const Result one = Compute(t, o, 1), four = Compute(t, o, 4);
  EXPECT_EQ(one.kl, four.kl);
  EXPECT_EQ(one.gradient, four.gradient);
  for (size_t from : {1, 17, 8191}) {
    const auto part = [from](const auto& v) { return std::vector<float>(v.begin() + from, v.begin() + from + 45); };
    const Result some = Compute({part(t.log_prob), part(t.ref), part(t.old), part(t.upstream), {}}, o);
    EXPECT_EQ(some.kl, part(one.kl));
    EXPECT_EQ(some.gradient, part(one.gradient));
  }
}

// The derivative that the mode promises is that of: the estimate (pathwise), k2 (straight-through), or
// exp(lp - old) times the estimate (importance-weighted).
TEST(TokenKlFormulaTest, EveryGradientIsTheFiniteDifferenceOfWhatItsModePromises) {
  const double h = 1e-6;
  for (double d : {-25.0, -19.0, -3.0, -0.7, -1e-2, 1e-2, 0.4, 0.999, 1.001, 2.5, 19.0, 25.0}) {
    for (double w : {-30.0, -0.8, 0.3, 30.0}) {
      for (int32_t estimator : kEstimators) {
        for (int32_t mode : kModes) {
          const double ref = -1.5, lp = ref + d, old = lp - w, k3_max = 1e6;
          const auto promised = [&](double x) {
            const int32_t e = mode == POLKA_KL_STRAIGHT_THROUGH_K2 ? POLKA_KL_K2 : estimator;
            const int32_t m = mode == POLKA_KL_STRAIGHT_THROUGH_K2 ? POLKA_KL_PATHWISE : mode;
            return TokenKl(e, m, x, ref, old, 20.0, k3_max).value;
          };
          const double slope = mode == POLKA_KL_DETACHED ? 0 : (promised(lp + h) - promised(lp - h)) / (2 * h);
          const double actual = TokenKl(estimator, mode, lp, ref, old, 20.0, k3_max).derivative;
          EXPECT_NEAR(actual, slope, 1e-6 * fmax(1, fabs(promised(lp))))
              << "d " << d << " w " << w << " estimator " << estimator << " mode " << mode;
        }
      }
    }
  }
}

TEST(TokenKlFormulaTest, TheDoubleSeriesMatchesLongDoubleArithmetic) {
  for (double x = 1e-8; x < 3; x *= 1.01) {
    for (double s : {x, -x}) {
      const ExpRemainder<double> r = ExpLessTaylor(s);
      const long double exact = expm1l(s);
      EXPECT_NEAR(r.first / static_cast<double>(exact), 1, 1e-15) << s;
      EXPECT_NEAR(r.second / (static_cast<double>(x < 1e-3 ? s * s / 2 * (1 + s / 3 + s * s / 12) : exact - s)), 1,
                  x < 1e-3 ? 1e-10 : 1e-12)
          << s;
    }
  }
}

TEST(TokenKlArgumentsTest, BadArgumentsAreNamed) {
  struct Case {
    void (*spoil)(polka_token_kl_args&);
    const char* text;
  };
  const Case cases[] = {
      {[](auto& a) { a.estimator = POLKA_KL_NONE; }, "estimator: 0 is outside [1, 4]"},
      {[](auto& a) { a.estimator = 5; }, "estimator: 5 is outside [1, 4]"},
      {[](auto& a) { a.gradient_mode = 4; }, "gradient_mode: 4 is outside [0, 3]"},
      {[](auto& a) { a.max_log_ratio = 0; }, "max_log_ratio: 0 is not > 0"},
      {[](auto& a) { a.max_log_ratio = NAN; }, "max_log_ratio: nan is not > 0"},
      {[](auto& a) { a.k3_max = -1; }, "k3_max: -1 is not > 0"},
      {[](auto& a) { a.count = -5; }, "count: -5 is negative"},
      {[](auto& a) { a.log_prob = 0; }, "log_prob: address is 0"},
      {[](auto& a) { a.ref_log_prob = 0; }, "ref_log_prob: address is 0"},
      {[](auto& a) { a.upstream = 2; }, "upstream: address is not aligned to its 4-byte elements"},
  };
  float memory[2][3] = {};
  for (const Case& c : cases) {
    polka_token_kl_args args = {};
    args.struct_size = sizeof args;
    args.count = 3;
    args.log_prob = Address(memory[0]);
    args.ref_log_prob = Address(memory[1]);
    args.estimator = POLKA_KL_K3;
    args.max_log_ratio = 20;
    args.k3_max = INFINITY;
    c.spoil(args);
    EXPECT_EQ(polka_token_kl(&args), POLKA_INVALID_ARGUMENT);
    EXPECT_STREQ(polka_last_error(), c.text);
  }
}

TEST(TokenKlArgumentsTest, NoTokensNeedNoMemory) {
  polka_token_kl_args args = {};
  args.struct_size = sizeof args;
  args.estimator = POLKA_KL_K1;
  args.max_log_ratio = args.k3_max = INFINITY;
  EXPECT_EQ(polka_token_kl(&args), POLKA_OK) << polka_last_error();
  EXPECT_EQ(args.exec.ran_target, POLKA_TARGET_NONE);
}

}  // namespace
}  // namespace polka
