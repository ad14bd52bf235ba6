// The loss of values: by hand, both sides of every bound, extremes, masks and what is counted.
#include <gtest/gtest.h>
#include <math.h>

#include <string>
#include <vector>

#include "arguments.h"

namespace polka {
namespace {

#include "number.inl"
#include "value_loss.inl"

using test::Address;

struct Batch {
  std::vector<float> values, old_values, returns;
  std::vector<uint8_t> mask;
  std::vector<int64_t> offsets, counts;
  double divisor = 1;
  float clip = 0, huber_delta = 0, gradient_scale = 0;
  int32_t skip = 0;
};

struct Result {
  std::vector<float> gradient;
  polka_value_loss_metrics metrics;
};

polka_value_loss_args Arguments(const Batch& b, Result& result) {
  result.gradient.assign(b.values.size(), -7);
  const auto address = [](const auto& v) { return v.empty() ? 0 : Address(v.data()); };
  polka_value_loss_args args = {};
  args.struct_size = sizeof args;
  args.rows = static_cast<int64_t>(b.values.size());
  args.sequences = static_cast<int64_t>(b.offsets.size()) - 1;
  args.offsets = address(b.offsets);
  args.mask = address(b.mask);
  args.values = address(b.values);
  args.old_values = address(b.old_values);
  args.returns = address(b.returns);
  args.d_values = address(result.gradient);
  args.metrics = Address(&result.metrics);
  args.normalizer = {b.divisor, address(b.counts)};
  args.clip = b.clip;
  args.huber_delta = b.huber_delta;
  args.gradient_scale = b.gradient_scale;
  args.skip_non_finite = b.skip;
  return args;
}

Result Compute(const Batch& b) {
  Result result;
  polka_value_loss_args args = Arguments(b, result);
  EXPECT_EQ(polka_value_loss(&args), POLKA_OK) << polka_last_error();
  return result;
}

Batch Plain() {
  Batch b;
  b.values = {1, 2, 0.5f, -1};
  b.returns = {2, 2, 0, 3};
  b.offsets = {0, 3, 4};
  return b;
}

TEST(ValueLossTest, SquaredAndHuberErrors) {
  Batch b = Plain();
  EXPECT_EQ(Compute(b).metrics.loss, 0.5 * (1 + 0 + 0.25 + 16));
  EXPECT_EQ(Compute(b).gradient, (std::vector<float>{-1, 0, 0.5f, -4}));
  b.huber_delta = 1;
  EXPECT_EQ(Compute(b).metrics.loss, 0.5 * (1 + 0 + 0.25) + 3.5);
  EXPECT_EQ(Compute(b).gradient, (std::vector<float>{-1, 0, 0.5f, -1}));
}

TEST(ValueLossTest, TheLargerLossDecidesAndAHeldValueHasNoGradient) {
  Batch b = Plain();
  b.clip = 0.25f;
  // Moved by +1 towards the return: held at 0.25, which is farther from it. By +0.25: at the bound,
  // free. By -1 away from the return: free, being farther.
  b.values = {1, 1, 1};
  b.old_values = {0, 0.75f, 2};
  b.returns = {2, 2, 3};
  b.offsets = {0, 3};
  const Result r = Compute(b);
  EXPECT_EQ(r.metrics.loss, 0.5 * (1.75 * 1.75 + 1 + 4));
  EXPECT_EQ(r.gradient, (std::vector<float>{0, -1, -2}));
  EXPECT_EQ(r.metrics.clipped_sum, 1);
}

TEST(ValueLossTest, DerivativesAreRightOnBothSidesOfEveryBound) {
  const double h = 1e-7;
  for (double clip : {0.0, 0.5}) {
    for (double delta : {0.0, 0.8}) {
      for (double target : {-1.1, 0.3, 2.0}) {
        for (double v : {-0.5, 0.5, 0.0, target - 0.8, target + 0.8, target - 0.5, 30.0, -100.0}) {
          for (double side : {-1e-4, 1e-4}) {
            const auto loss = [&](double x) { return ValueLoss(x, 0.0, target, clip, delta).loss; };
            const double x = v + side, slope = (loss(x + h) - loss(x - h)) / (2 * h);
            EXPECT_NEAR(ValueLoss(x, 0.0, target, clip, delta).derivative, slope, 1e-5)
                << "clip " << clip << " delta " << delta << " target " << target << " at " << x;
          }
        }
      }
    }
  }
}

TEST(ValueLossTest, TokensWeighByTheNormalizerAndMasksSelect) {
  Batch b = Plain();
  b.values[1] = NAN;
  b.mask = {1, 0, 1, 1};
  b.divisor = 2;
  b.counts = {2, 1};
  b.gradient_scale = 4;
  const Result r = Compute(b);
  EXPECT_EQ(r.metrics.loss, 0.5 * ((1 + 0.25) / 4 + 16 / 2.0));
  EXPECT_EQ(r.gradient, (std::vector<float>{-1, 0, 0.5f, -8}));
  EXPECT_EQ(r.metrics.tokens, 3);
  EXPECT_EQ(r.metrics.non_finite_rows, 0);
  EXPECT_EQ(r.metrics.first_non_finite_row, -1);
}

TEST(ValueLossTest, NothingToCountAndADivisorOfZeroGiveZero) {
  Batch b = Plain();
  b.mask = {0, 0, 0, 0};
  EXPECT_EQ(Compute(b).metrics.loss, 0);
  b.mask.clear();
  b.divisor = 0;
  EXPECT_EQ(Compute(b).metrics.loss, 0);
  EXPECT_EQ(Compute(b).gradient, std::vector<float>(4, 0));
  Batch none;
  none.offsets = {0};
  EXPECT_EQ(Compute(none).metrics.loss, 0);
}

TEST(ValueLossTest, WhatIsNotFiniteShowsOrIsSkipped) {
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    Batch b = Plain();
    b.returns[2] = bad;
    Result r = Compute(b);
    EXPECT_TRUE(isnan(r.metrics.loss));
    EXPECT_TRUE(isnan(r.gradient[2]));
    EXPECT_EQ(r.gradient[3], -4);
    EXPECT_EQ(r.metrics.first_non_finite_row, 2);
    b.skip = 1;
    r = Compute(b);
    EXPECT_EQ(r.metrics.loss, 0.5 * (1 + 16));
    EXPECT_EQ(r.gradient[2], 0);
    EXPECT_EQ(r.metrics.non_finite_rows, 1);
  }
}

TEST(ValueLossTest, MomentsGiveTheExplainedVariance) {
  const polka_value_loss_metrics m = Compute(Plain()).metrics;
  EXPECT_DOUBLE_EQ(m.value_sum, 2.5);
  EXPECT_DOUBLE_EQ(m.return_mean, 7 / 4.0);
  EXPECT_DOUBLE_EQ(m.return_squares, 4 + 4 + 0 + 9 - 49 / 4.0);
  EXPECT_DOUBLE_EQ(m.error_mean, 4.5 / 4);
  EXPECT_DOUBLE_EQ(m.error_squares, 1 + 0 + 0.25 + 16 - 4.5 * 4.5 / 4);
}

TEST(ValueLossTest, BadArgumentsAreNamed) {
  struct Case {
    void (*spoil)(polka_value_loss_args&);
    const char* text;
  };
  const Case cases[] = {
      {[](auto& a) { a.clip = -1; }, "clip: -1 is neither 0 (off) nor finite and > 0"},
      {[](auto& a) { a.clip = 1; }, "old_values: address is 0"},
      {[](auto& a) { a.huber_delta = NAN; }, "huber_delta: nan is neither"},
      {[](auto& a) { a.rows = -1; }, "rows: -1 is negative"},
      {[](auto& a) { a.normalizer.divisor = -1; }, "normalizer: divisor -1"},
      {[](auto& a) { a.skip_non_finite = 2; }, "skip_non_finite: 2 is outside [0, 1]"},
      {[](auto& a) { a.returns = 0; }, "returns: address is 0"},
      {[](auto& a) { a.metrics = 0; }, "metrics: address is 0"},
  };
  for (const Case& c : cases) {
    Result result;
    const Batch b = Plain();
    polka_value_loss_args args = Arguments(b, result);
    c.spoil(args);
    EXPECT_EQ(polka_value_loss(&args), POLKA_INVALID_ARGUMENT);
    EXPECT_EQ(std::string(polka_last_error()).rfind(c.text, 0), 0u) << polka_last_error();
    EXPECT_EQ(result.gradient, std::vector<float>(4, -7));
  }
}

}  // namespace
}  // namespace polka
