// Losses on preferences: by hand, against finite differences, extremes, and what is counted.
#include <gtest/gtest.h>
#include <math.h>

#include <string>
#include <vector>

#include "arguments.h"

namespace polka {
namespace {

using Doubles = std::vector<double>;
using test::Address;

struct Batch {
  Doubles scores, reference, targets, weights;
  std::vector<uint8_t> desirable;
  std::vector<int64_t> offsets;
  int32_t kind = POLKA_PREFERENCE_SIGMOID;
  double divisor = 1, beta = 1, margin = 0, bias = 1, smoothing = 0, reference_point = 0, good = 1, bad = 1;
};

struct Result {
  Doubles gradient, losses;
  polka_preference_loss_metrics metrics;
};

polka_preference_loss_args Arguments(const Batch& b, Result& result) {
  const auto address = [](const auto& v) { return v.empty() ? 0 : Address(v.data()); };
  const size_t groups = b.offsets.empty() ? 0 : b.offsets.size() - 1;
  result.gradient.assign(b.scores.size(), -7);
  result.losses.assign(b.kind == POLKA_PREFERENCE_KTO ? b.scores.size() : groups, -7);
  polka_preference_loss_args args = {};
  args.struct_size = sizeof args;
  args.count = static_cast<int64_t>(b.scores.size());
  args.groups = static_cast<int64_t>(groups);
  args.group_offsets = address(b.offsets);
  args.scores = address(b.scores);
  args.ref_scores = address(b.reference);
  args.targets = address(b.targets);
  args.desirable = address(b.desirable);
  args.weights = address(b.weights);
  args.unit_losses = address(result.losses);
  args.d_scores = address(result.gradient);
  args.metrics = Address(&result.metrics);
  args.divisor = b.divisor;
  args.beta = b.beta;
  args.margin = b.margin;
  args.bias = b.bias;
  args.label_smoothing = b.smoothing;
  args.reference_point = b.reference_point;
  args.desirable_weight = b.good;
  args.undesirable_weight = b.bad;
  args.kind = b.kind;
  return args;
}

Result Compute(const Batch& b) {
  Result result;
  polka_preference_loss_args args = Arguments(b, result);
  EXPECT_EQ(polka_preference_loss(&args), POLKA_OK) << polka_last_error();
  return result;
}

// Three pairs, beta 1/2, references.
Batch Pairs(int32_t kind) {
  Batch b;
  b.kind = kind;
  b.beta = 0.5;
  b.scores = {-3, -5, -4, -1, -2, -2.5};
  b.reference = {-4, -4, -3, -3, -2.5, -2};
  b.offsets = {0, 2, 4, 6};
  return b;
}

// Margins h of these pairs: ((s0 - r0) - (s1 - r1)) / 2.
const double kMargins[] = {1, -1.5, 0.5};

double LogSigmoid(double x) { return -log1p(exp(-x)); }

TEST(PreferenceLossTest, DpoIsTheLogisticLossOfTheMargin) {
  Batch b = Pairs(POLKA_PREFERENCE_SIGMOID);
  b.divisor = 3;
  Result r = Compute(b);
  double loss = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(r.losses[i], -LogSigmoid(kMargins[i]), 1e-15);
    EXPECT_NEAR(r.gradient[2 * i], -0.5 / (1 + exp(kMargins[i])) / 3, 1e-15);
    EXPECT_EQ(r.gradient[2 * i + 1], -r.gradient[2 * i]);
    loss -= LogSigmoid(kMargins[i]) / 3;
  }
  EXPECT_NEAR(r.metrics.loss, loss, 1e-15);
  EXPECT_EQ(r.metrics.pairs, 3);
  EXPECT_EQ(r.metrics.correct, 2);
  EXPECT_EQ(r.metrics.margin_sum, 0);
  EXPECT_EQ(r.metrics.chosen_sum, 0.5 - 0.5 + 0.25);
  EXPECT_EQ(r.metrics.rejected_sum, -0.5 + 1 - 0.25);
  b.smoothing = 0.1;
  EXPECT_NEAR(Compute(b).losses[1], -0.9 * LogSigmoid(-1.5) - 0.1 * LogSigmoid(1.5), 1e-15);
}

TEST(PreferenceLossTest, HingeAndIpo) {
  Batch b = Pairs(POLKA_PREFERENCE_HINGE);
  EXPECT_EQ(Compute(b).losses, (Doubles{0, 2.5, 0.5}));
  EXPECT_EQ(Compute(b).gradient, (Doubles{0, 0, -0.5, 0.5, -0.5, 0.5}));
  b.kind = POLKA_PREFERENCE_IPO;
  // (delta - 1 / (2 beta))^2 of the margins without beta: 2, -3 and 1.
  EXPECT_EQ(Compute(b).losses, (Doubles{1, 16, 0}));
  EXPECT_EQ(Compute(b).gradient, (Doubles{2, -2, -8, 8, 0, 0}));
}

TEST(PreferenceLossTest, AMarginAndABiasShiftWhatIsAskedFor) {
  Batch b;
  b.scores = {-0.5, -0.75};
  b.offsets = {0, 2};
  b.beta = 2;
  b.margin = 1;
  EXPECT_NEAR(Compute(b).losses[0], -LogSigmoid(2 * 0.25 - 1), 1e-15);
  b.margin = 0;
  b.bias = 0.5;
  const Result r = Compute(b);
  EXPECT_NEAR(r.losses[0], -LogSigmoid(2 * (-0.5 + 0.5 * 0.75)), 1e-15);
  EXPECT_NEAR(r.gradient[1], -0.5 * r.gradient[0], 1e-15);
}

TEST(PreferenceLossTest, ARankingIsTheMeanOverItsPairs) {
  Batch b;
  b.scores = {2, 1, -1};
  b.offsets = {0, 3};
  const Result r = Compute(b);
  EXPECT_NEAR(r.metrics.loss, -(LogSigmoid(1) + LogSigmoid(3) + LogSigmoid(2)) / 3, 1e-15);
  EXPECT_EQ(r.metrics.pairs, 3);
  EXPECT_NEAR(r.gradient[0] + r.gradient[1] + r.gradient[2], 0, 1e-15);
}

TEST(PreferenceLossTest, LabelledResponsesAreJudgedByThemselves) {
  Batch b;
  b.kind = POLKA_PREFERENCE_KTO;
  b.beta = 0.5;
  b.scores = {-1, -4, -2};
  b.reference = {-3, -3, -2};
  b.desirable = {1, 0, 0};
  b.reference_point = 0.25;
  b.bad = 1.5;
  const Result r = Compute(b);
  const auto sigmoid = [](double x) { return 1 / (1 + exp(-x)); };
  EXPECT_NEAR(r.losses[0], 1 - sigmoid(1 - 0.125), 1e-15);
  EXPECT_NEAR(r.losses[1], 1.5 * (1 - sigmoid(0.125 + 0.5)), 1e-15);
  EXPECT_NEAR(r.losses[2], 1.5 * (1 - sigmoid(0.125)), 1e-15);
  EXPECT_LT(r.gradient[0], 0);
  EXPECT_GT(r.gradient[1], 0);
  EXPECT_EQ(r.metrics.correct, 3);
  EXPECT_EQ(r.metrics.chosen_sum, 1);
  EXPECT_EQ(r.metrics.rejected_sum, -0.5);
  EXPECT_EQ(r.metrics.margin_sum, 1.5);
}

TEST(PreferenceLossTest, ThePosteriorsGradientIsTheDifferenceOfTheSoftmaxes) {
  Batch b;
  b.kind = POLKA_PREFERENCE_POSTERIOR;
  b.scores = {-1, -2, -3, -5};
  b.reference = {-2, -2, -2.5, -5};
  b.targets = {-1, -3, -2, -4};
  b.offsets = {0, 3, 4};
  const Result r = Compute(b);
  const double t[] = {1, -1, 0.5}, u[] = {1, 0, -0.5};
  double st = 0, su = 0, loss = 0;
  for (int i = 0; i < 3; ++i) st += exp(t[i]), su += exp(u[i]);
  for (int i = 0; i < 3; ++i) {
    const double p = exp(t[i]) / st, q = exp(u[i]) / su;
    EXPECT_NEAR(r.gradient[i], q - p, 1e-15);
    loss += p * log(p / q);
  }
  EXPECT_NEAR(r.losses[0], loss, 1e-15);
  EXPECT_EQ(r.losses[1], 0);
  EXPECT_EQ(r.gradient[3], 0);
}

TEST(PreferenceLossTest, GradientsAreFiniteDifferences) {
  for (int32_t kind = 0; kind <= POLKA_PREFERENCE_POSTERIOR; ++kind) {
    for (double shift : {0.0, 1.75, -1.75, 40.0}) {
      Batch b;
      b.kind = kind;
      b.beta = 0.7;
      b.margin = 0.3;
      b.bias = 0.8;
      b.smoothing = kind == POLKA_PREFERENCE_SIGMOID ? 0.2 : 0;
      b.reference_point = 0.4;
      b.good = 1.3;
      b.scores = {-1 + shift, -2, -1.5, -0.25 - shift, -3};
      b.reference = {-1.2, -1.6, -1.1, -2, -2.5};
      b.targets = {0.5, -1, 2, 0, 1};
      b.desirable = {1, 0, 1, 1, 0};
      b.offsets = {0, 3, 5};
      if (kind != POLKA_PREFERENCE_KTO) b.weights = {0.5, 2};
      b.divisor = 1.5;
      const Result r = Compute(b);
      const double h = 1e-6;
      for (size_t i = 0; i < b.scores.size(); ++i) {
        Batch up = b, down = b;
        up.scores[i] += h;
        down.scores[i] -= h;
        // The loss itself is rounded, by as much as it is large.
        const double above = Compute(up).metrics.loss, below = Compute(down).metrics.loss;
        EXPECT_NEAR(r.gradient[i], (above - below) / (2 * h), 1e-7 + 1e-9 * fabs(above))
            << "kind " << kind << " shift " << shift << " response " << i;
      }
    }
  }
}

TEST(PreferenceLossTest, FarScoresOverflowNothing) {
  for (double d : {-1e4, -800.0, 800.0, 1e4}) {
    for (int32_t kind = 0; kind <= POLKA_PREFERENCE_POSTERIOR; ++kind) {
      Batch b;
      b.kind = kind;
      b.scores = {d, 0};
      b.targets = {0, 0};
      b.desirable = {1, 0};
      b.offsets = {0, 2};
      const Result r = Compute(b);
      EXPECT_TRUE(isfinite(r.metrics.loss)) << "kind " << kind << " d " << d;
      EXPECT_TRUE(isfinite(r.gradient[0])) << "kind " << kind << " d " << d;
      EXPECT_EQ(r.metrics.non_finite_units, 0);
    }
  }
}

TEST(PreferenceLossTest, ANanShowsInItsOwnUnitAndInTheLoss) {
  for (int32_t kind : {0, 1, 2, 4}) {
    Batch b = Pairs(kind);
    b.targets = Doubles(6, 0);
    b.scores[2] = NAN;
    const Result r = Compute(b);
    EXPECT_TRUE(isnan(r.metrics.loss)) << kind;
    EXPECT_TRUE(isnan(r.losses[1])) << kind;
    EXPECT_TRUE(isfinite(r.losses[0]) && isfinite(r.losses[2])) << kind;
    EXPECT_EQ(r.metrics.first_non_finite_unit, 1) << kind;
    b.weights = {1, 0, 1};
    EXPECT_TRUE(isfinite(Compute(b).metrics.loss)) << kind;
    EXPECT_EQ(Compute(b).gradient[2], 0) << kind;
  }
}

TEST(PreferenceLossTest, GroupsWithoutPairsAndNothingAtAllGiveZero) {
  Batch b;
  b.scores = {3};
  b.offsets = {0, 0, 1};
  EXPECT_EQ(Compute(b).metrics.loss, 0);
  EXPECT_EQ(Compute(b).gradient[0], 0);
  b = Pairs(POLKA_PREFERENCE_SIGMOID);
  b.divisor = 0;
  EXPECT_EQ(Compute(b).metrics.loss, 0);
  EXPECT_EQ(Compute(b).gradient, Doubles(6, 0));
  Batch none;
  none.offsets = {0};
  for (int32_t kind = 0; kind <= POLKA_PREFERENCE_POSTERIOR; ++kind) {
    none.kind = kind;
    EXPECT_EQ(Compute(none).metrics.loss, 0);
  }
}

TEST(PreferenceLossTest, BadArgumentsAreNamed) {
  struct Case {
    void (*spoil)(polka_preference_loss_args&);
    const char* text;
  };
  const Case cases[] = {
      {[](auto& a) { a.kind = 5; }, "kind: 5 is outside [0, 4]"},
      {[](auto& a) { a.beta = 0; }, "beta: 0 is not finite and > 0"},
      {[](auto& a) { a.margin = NAN; }, "margin: nan is not finite"},
      {[](auto& a) { a.bias = 1.5; }, "bias: 1.5 is not in (0, 1]"},
      {[](auto& a) { a.label_smoothing = -0.1; }, "label_smoothing: -0.1 is not in [0, 1]"},
      {[](auto& a) { a.label_smoothing = 0.1, a.kind = 2; }, "label_smoothing: 0.1 belongs to kind 0, not to 2"},
      {[](auto& a) { a.kind = 3; }, "desirable: address is 0"},
      {[](auto& a) { a.kind = 4; }, "targets: address is 0"},
      {[](auto& a) { a.divisor = -1; }, "divisor: -1 is not finite and >= 0"},
      {[](auto& a) { a.reference_point = INFINITY; }, "reference_point: inf is not finite"},
      {[](auto& a) { a.count = -1; }, "count: -1 is negative"},
      {[](auto& a) { a.metrics = 0; }, "metrics: address is 0"},
  };
  for (const Case& c : cases) {
    Result result;
    const Batch b = Pairs(POLKA_PREFERENCE_SIGMOID);
    polka_preference_loss_args args = Arguments(b, result);
    c.spoil(args);
    EXPECT_EQ(polka_preference_loss(&args), POLKA_INVALID_ARGUMENT);
    EXPECT_EQ(std::string(polka_last_error()).rfind(c.text, 0), 0u) << polka_last_error();
    EXPECT_EQ(result.gradient, Doubles(6, -7));
  }
}

}  // namespace
}  // namespace polka
