// The kinds of policy objective one by one: values by hand, both sides of every bound, extreme ratios,
// what each counts, and the options that belong to some kinds only.
#include <gtest/gtest.h>
#include <math.h>

#include <vector>

#include "policy_batch.h"

namespace polka {
namespace {

#include "number.inl"
#include "token_kl.inl"
#include "policy_term.inl"
#include "policy_loss.inl"

using test::Compute;
using test::ObjectiveOf;
using test::PolicyArguments;
using test::PolicyBatch;
using test::PolicyResult;

// One sequence; ratio r of each token, log-prob -1.
PolicyBatch Ratios(int32_t kind, const std::vector<float>& ratios, const std::vector<float>& advantages) {
  PolicyBatch b;
  b.offsets = {0, static_cast<int64_t>(ratios.size())};
  for (const float r : ratios) {
    b.log_prob.push_back(-1);
    b.old.push_back(-1 - logf(r));
  }
  b.advantages = advantages;
  b.objective = ObjectiveOf(kind);
  b.objective.clip_low = 0.2f;
  b.objective.clip_high = 0.3f;
  return b;
}

void ExpectGradient(const PolicyBatch& b, const std::vector<double>& expected) {
  const PolicyResult result = Compute(b);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(result.d_log_prob[i], expected[i], 1e-6) << "row " << i;
}

TEST(PolicyObjectiveTest, DetachedCoefficientsAreClippedDroppedOrLeftAsTheKindSays) {
  const std::vector<float> ratios = {0.5f, 0.5f, 1.1f, 2, 2}, advantages = {1, -1, 1, 1, -1};
  ExpectGradient(Ratios(POLKA_OBJECTIVE_CISPO, ratios, advantages), {-0.8, 0.8, -1.1, -1.3, 1.3});
  ExpectGradient(Ratios(POLKA_OBJECTIVE_CISPO_MASKED, ratios, advantages), {-0.8, 0, -1.1, 0, 1.3});
  ExpectGradient(Ratios(POLKA_OBJECTIVE_MASKED_IS, ratios, advantages), {0, 0, -1.1, 0, 0});
  ExpectGradient(Ratios(POLKA_OBJECTIVE_TOPR, ratios, advantages), {-1, 0.8, -1, -1, 1.3});
  ExpectGradient(Ratios(POLKA_OBJECTIVE_REINFORCE, ratios, advantages), {-1, 1, -1, -1, 1});
}

TEST(PolicyObjectiveTest, ADetachedCoefficientGoesOnWhereTheLogRatioIsClamped) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_CISPO, {1}, {1});
  b.old = {-101};
  b.objective.clip_high = INFINITY;
  EXPECT_NEAR(Compute(b).d_log_prob[0] / -exp(20.0), 1, 1e-5);
}

TEST(PolicyObjectiveTest, AKlThatPullsBackIsKeptHoweverFarItIs) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_DPPO_KL, {1, 1, 1, 1}, {1, -1, 1, -1});
  b.log_prob = {-0.1f, -0.1f, -3, -3};
  b.old = {-3, -3, -0.1f, -0.1f};
  const PolicyResult result = Compute(b);
  EXPECT_EQ(result.d_log_prob[0], 0);
  EXPECT_GT(result.d_log_prob[1], 1);
  EXPECT_LT(result.d_log_prob[2], 0);
  EXPECT_EQ(result.d_log_prob[3], 0);
}

TEST(PolicyObjectiveTest, TheTrustRegionsMeasureProbabilitiesAndNotRatios) {
  // p moves by +0.1, -0.1 and by +0.0001 at a ratio of 2.
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_DPPO_TV, {1, 1, 1}, {1, 1, 1});
  b.log_prob = {logf(0.6f), logf(0.4f), logf(2e-4f)};
  b.old = {logf(0.5f), logf(0.5f), logf(1e-4f)};
  ExpectGradient(b, {0, -0.8, -2});
  b.objective.kind = POLKA_OBJECTIVE_IPO;
  ExpectGradient(b, {0, 0, -2});
  b.objective.surrogate_max = 1.5f;
  ExpectGradient(b, {0, 0, -1.5});
  const polka_policy_loss_metrics m = Compute(b).metrics;
  EXPECT_EQ(m.clipped_sum, 2);
  EXPECT_EQ(m.clip_high_sum, 2);
  EXPECT_EQ(m.dual_clipped_sum, 1);
}

TEST(PolicyObjectiveTest, TheSoftGateIsTheRatioToFirstOrderAtOne) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_SAPO, {1, 1, 3}, {1, -1, -1});
  b.objective.tau_positive = 2;
  b.objective.tau_negative = 4;
  const PolicyResult result = Compute(b);
  EXPECT_NEAR(result.d_log_prob[0], -1, 1e-6);
  EXPECT_NEAR(result.d_log_prob[1], 1, 1e-6);
  EXPECT_NEAR(result.d_log_prob[2], 12 * exp(-8.0) / pow(1 + exp(-8.0), 2), 1e-6);
  EXPECT_NEAR(result.metrics.policy_loss, -1 + 0.5 + 1 / (1 + exp(-8.0)), 1e-6);
}

TEST(PolicyObjectiveTest, DerivativesAreRightOnBothSidesOfEveryBound) {
  const double h = 1e-7;
  for (int32_t kind : {POLKA_OBJECTIVE_SAPO, POLKA_OBJECTIVE_DPPO_TV, POLKA_OBJECTIVE_DPPO_KL, POLKA_OBJECTIVE_IPO}) {
    const polka_policy_objective o = ObjectiveOf(kind);
    const double old = log(0.5);
    for (double a : {-1.3, 0.7}) {
      const auto term = [&](double x) {
        const Ratio<double> r = TokenRatio(x, old, 20.0);
        return kind == POLKA_OBJECTIVE_SAPO ? SapoTerm(o, r, a) : TrustTerm(o, r, x, old, a);
      };
      for (double p : {0.5 - double{o.trust_low}, 0.5, 0.5 + double{o.trust_high}, 0.34, 0.66}) {
        for (double side : {-1e-4, 1e-4}) {
          const double x = log(p) + side;
          const double slope = (term(x + h).loss - term(x - h).loss) / (2 * h);
          EXPECT_NEAR(term(x).ratio_derivative, slope, 1e-7) << "kind " << kind << " p " << p << " side " << side;
        }
      }
    }
  }
}

TEST(PolicyObjectiveTest, ARegressionFitsTheSumOfTheLogRatios) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_REGRESSION, {1, 1, 1}, {2, 2, 2});
  b.old = {-1.5f, -1.25f, -0.5f};  // D = 0.5 + 0.25 - 0.5
  b.objective.regression_scale = 4;
  b.divisor = 3;
  for (int32_t gradient : {POLKA_SEQUENCE_TOKEN_DETACHED, POLKA_SEQUENCE_THROUGH_MEAN}) {
    b.objective.sequence_gradient = gradient;
    EXPECT_EQ(Compute(b).metrics.loss, 1);
    ExpectGradient(b, {2 * 4 * -1.0, 2 * 4 * -1.0, 2 * 4 * -1.0});
  }
}

TEST(PolicyObjectiveTest, ARegressionDoesNotClampItsLogRatios) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_REGRESSION, {1}, {0});
  b.objective.regression_scale = 1;
  b.old = {-101};
  EXPECT_EQ(Compute(b).metrics.loss, 100 * 100);
  ExpectGradient(b, {200});
}

TEST(PolicyObjectiveTest, NoKindGivesNanHoweverFarThePoliciesAreApart) {
  for (int32_t kind = POLKA_OBJECTIVE_CLIP; kind <= POLKA_OBJECTIVE_VESPO; ++kind) {
    for (float d : {10.5f, 15.0f, 19.9f, 20.1f, 89.0f, 100.0f, INFINITY}) {
      for (float sign : {-1.0f, 1.0f}) {
        for (float a : {-1.0f, 0.0f, 1.0f}) {
          PolicyBatch b = Ratios(kind, {1, 1}, {a, a});
          b.log_prob = {-100.5f, -1};
          b.old[0] = b.log_prob[0] - sign * d;
          const PolicyResult result = Compute(b);
          EXPECT_TRUE(isfinite(result.metrics.loss)) << "kind " << kind << " d " << sign * d << " a " << a;
          EXPECT_TRUE(isfinite(result.d_log_prob[0])) << "kind " << kind << " d " << sign * d << " a " << a;
          EXPECT_TRUE(a != 0 || result.metrics.loss == 0);
        }
      }
    }
  }
}

TEST(PolicyObjectiveTest, TheGeometricMeanHoldsOnlyWhatWouldGrow) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_GMPO, {1, 1, 1}, {1, 1, 1});
  b.log_prob = {-1, -1, -1};
  b.old = {-2, 0, -1.1f};  // log-ratios 1, -1, 0.1; the first is held at 0.3
  b.weights = {0.5f, 1, 2};
  const PolicyResult result = Compute(b);
  const double r = exp((0.3 - 1 + 0.1) / 3);
  EXPECT_NEAR(result.metrics.policy_loss, -3 * r, 1e-6);
  EXPECT_EQ(result.d_log_prob[0], 0);
  EXPECT_NEAR(result.d_log_prob[1], -r, 1e-6);
  EXPECT_EQ(result.metrics.clipped_sum, 1);
  EXPECT_EQ(result.metrics.clip_high_sum, 1);
  EXPECT_EQ(result.metrics.above_sum, 1);
  EXPECT_EQ(result.metrics.below_sum, 1);
  EXPECT_NEAR(result.metrics.sequence_weight_sum, 1, 1e-12);
}

TEST(PolicyObjectiveTest, TheGammaWeightOfASequenceIsReported) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_VESPO, {1.25f, 1}, {1, -1});
  b.weights = {1, 0.8f};
  const PolicyResult result = Compute(b);  // W = 1, so both weights are 1
  EXPECT_NEAR(result.d_log_prob[0], -1, 1e-6);
  EXPECT_NEAR(result.d_log_prob[1], 1, 1e-6);
  EXPECT_NEAR(result.metrics.sequence_weight_sum, 1, 1e-6);
}

TEST(PolicyObjectiveTest, MasksByEntropyAndDriftDropThePolicyPartAlone) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_CLIP, {1, 1, 1}, {-1, 1, -1});
  b.offsets = {0, 2, 3};
  b.entropy = {1, 1, 2};
  b.behaviour = {-0.5f, -1, -1};  // drifts of 0.25 and 0
  b.ref = {-2, -2, -2};
  b.objective.kl_estimator = POLKA_KL_K1;
  b.objective.kl_coefficient = 1;
  b.objective.off_policy_max = 0.2f;
  ExpectGradient(b, {1, 0, 2});
  EXPECT_EQ(Compute(b).metrics.off_policy_sequences, 1);
  b.objective.off_policy_max = 0.3f;
  b.objective.entropy_threshold = 1.5f;
  ExpectGradient(b, {1, 1, 2});
  EXPECT_EQ(Compute(b).metrics.low_entropy_sum, 2);
  EXPECT_NEAR(Compute(b).metrics.policy_loss, 1, 1e-6);
}

TEST(PolicyObjectiveTest, ThePenaltyTowardsTheOldPolicyAndTheLikelihoodAreReported) {
  PolicyBatch b = Ratios(POLKA_OBJECTIVE_REINFORCE, {1, 1}, {1, -1});
  b.old = {-1.5f, -0.5f};
  b.weights = {2, 1};
  b.anchor_weights = {1, 0};
  b.objective.anchor_estimator = POLKA_KL_ABS;
  b.objective.anchor_coefficient = 0.5;
  b.objective.nll_coefficient = 0.1;
  b.nll_divisor = 2;
  ExpectGradient(b, {2 * (-1 + 0.5) - 0.05, 1});
  const polka_policy_loss_metrics m = Compute(b).metrics;
  EXPECT_NEAR(m.anchor_loss, 1, 1e-6);
  EXPECT_NEAR(m.policy_loss, 2 - 1 + 0.5, 1e-6);
  EXPECT_NEAR(m.nll_loss, 0.5, 1e-6);
  EXPECT_NEAR(m.loss, m.policy_loss + 0.05, 1e-6);
  EXPECT_NEAR(m.abs_log_ratio_sum, 1, 1e-6);
  EXPECT_NEAR(m.squared_log_ratio_sum, 0.5, 1e-6);
}

TEST(PolicyObjectiveTest, OptionsOfAKindAreChecked) {
  struct Case {
    int32_t kind;
    void (*spoil)(polka_policy_objective&);
    const char* text;
  };
  const Case cases[] = {
      {0, [](auto& o) { o.kind = 13; }, "kind: 13 is outside [0, 12]"},
      {1, [](auto& o) { o.dual_clip = 3; }, "dual_clip, ratio_max: 3 and 0 belong to kind 0, not to 1"},
      {6, [](auto& o) { o.tau_positive = 0; }, "tau_positive: 0 is not finite and > 0"},
      {6, [](auto& o) { o.tau_negative = NAN; }, "tau_negative: nan is not finite and > 0"},
      {7, [](auto& o) { o.trust_low = -1; }, "trust_low: -1 is not >= 0"},
      {8, [](auto& o) { o.trust_high = NAN; }, "trust_high: nan is not >= 0"},
      {9, [](auto& o) { o.surrogate_max = -2; }, "surrogate_max: -2 is neither 0 (off) nor finite and > 0"},
      {10, [](auto& o) { o.ratio_level = POLKA_RATIO_TOKEN; },
       "ratio_level: 0, but kind 10 needs the sequence's ratio"},
      {11, [](auto& o) { o.ratio_level = POLKA_RATIO_TOKEN; },
       "ratio_level: 0, but kind 11 needs the sequence's ratio"},
      {11, [](auto& o) { o.rate_negative = 0; }, "rate_negative: 0 is not finite and > 0"},
      {11, [](auto& o) { o.shape_positive = INFINITY; }, "shape_positive: inf is not finite"},
      {12, [](auto& o) { o.ratio_level = POLKA_RATIO_TOKEN; },
       "ratio_level: 0, but kind 12 needs the sequence's ratio"},
      {12, [](auto& o) { o.regression_scale = 0; }, "regression_scale: 0 is not finite and > 0"},
      {0, [](auto& o) { o.anchor_coefficient = 1; }, "anchor_coefficient: 1 needs anchor_estimator"},
      {0, [](auto& o) { o.anchor_estimator = -1; }, "anchor_estimator: -1 is outside [0, 4]"},
      {0, [](auto& o) { o.nll_coefficient = NAN; }, "nll_coefficient: nan is not finite"},
      {0, [](auto& o) { o.entropy_threshold = -1; }, "entropy_threshold: -1 is neither 0 (off) nor finite and > 0"},
      {0, [](auto& o) { o.off_policy_max = NAN; }, "off_policy_max: nan is neither 0 (off) nor finite and > 0"},
      {0, [](auto& o) { o.entropy_threshold = 1; }, "entropy: address is 0"},
  };
  for (const Case& c : cases) {
    PolicyBatch b = Ratios(c.kind, {1}, {1});
    c.spoil(b.objective);
    PolicyResult result;
    polka_policy_loss_args args = PolicyArguments(b, result);
    EXPECT_EQ(polka_policy_loss_from_log_prob(&args), POLKA_INVALID_ARGUMENT);
    EXPECT_EQ(std::string(polka_last_error()).rfind(c.text, 0), 0u) << polka_last_error();
  }
}

}  // namespace
}  // namespace polka
