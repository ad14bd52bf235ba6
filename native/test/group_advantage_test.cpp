// Group-relative advantages against a plain reference that takes the variance from pairs of rewards
// and the leave-one-out baseline from the other rewards themselves.
#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <string>
#include <vector>

#include "arguments.h"

namespace polka {
namespace {

using test::Address;

struct Options {
  int32_t baseline = POLKA_BASELINE_MEAN;
  int32_t scale = POLKA_SCALE_STD_UNBIASED;
  int32_t placement = POLKA_EPSILON_OUTSIDE;
  int32_t singleton = POLKA_SINGLETON_ZERO;
  double epsilon = 1e-6;
  double soft_beta = 0;
  double given_scale = 0;
};

struct Result {
  std::vector<double> advantages, mean, std;
  std::vector<int64_t> finite;
  std::vector<uint8_t> zero_variance;
};

template <class Reward>
struct Call {
  std::vector<Reward> rewards;
  std::vector<int64_t> offsets;
  Result result;
  polka_group_advantage_args args = {};

  Call(std::vector<Reward> rewards_, std::vector<int64_t> offsets_, const Options& o)
      : rewards(std::move(rewards_)), offsets(std::move(offsets_)) {
    const size_t groups = offsets.size() - 1;
    result.advantages.assign(rewards.size(), -7);
    result.mean.resize(groups);
    result.std.resize(groups);
    result.finite.resize(groups);
    result.zero_variance.resize(groups);
    args.struct_size = sizeof args;
    args.count = static_cast<int64_t>(rewards.size());
    args.groups = static_cast<int64_t>(groups);
    args.rewards = Address(rewards.data());
    args.group_offsets = Address(offsets.data());
    args.advantages = Address(result.advantages.data());
    args.mean = Address(result.mean.data());
    args.std = Address(result.std.data());
    args.finite_count = Address(result.finite.data());
    args.zero_variance = Address(result.zero_variance.data());
    args.epsilon = o.epsilon;
    args.reward_dtype = sizeof(Reward) == 4 ? POLKA_F32 : POLKA_F64;
    args.advantage_dtype = POLKA_F64;
    args.baseline = o.baseline;
    args.scale = o.scale;
    args.epsilon_placement = o.placement;
    args.singleton = o.singleton;
    args.soft_beta = o.soft_beta;
    args.given_scale = o.given_scale;
  }
};

template <class Reward>
Result Compute(std::vector<Reward> rewards, std::vector<int64_t> offsets, const Options& o) {
  Call<Reward> call(std::move(rewards), std::move(offsets), o);
  EXPECT_EQ(polka_group_advantage(&call.args), POLKA_OK) << polka_last_error();
  return call.result;
}

double ReferenceAdvantage(const std::vector<double>& group, size_t i, const Options& o) {
  double sum = 0, others = 0, pairs = 0;
  for (size_t j = 0; j < group.size(); ++j) {
    sum += group[j];
    others += j == i ? 0 : group[j];
    for (size_t k = 0; k < j; ++k) pairs += (group[j] - group[k]) * (group[j] - group[k]);
  }
  const double n = static_cast<double>(group.size());
  const double centered = group[i] - (o.baseline == POLKA_BASELINE_MEAN ? sum / n : others / (n - 1));
  if (o.scale == POLKA_SCALE_NONE) return centered;
  const double variance = pairs / n / (o.scale == POLKA_SCALE_STD_BIASED ? n : n - 1);
  return o.placement == POLKA_EPSILON_OUTSIDE ? centered / (sqrt(variance) + o.epsilon)
                                              : centered / sqrt(variance + o.epsilon);
}

TEST(GroupAdvantageTest, EveryOptionMatchesTheReferenceOnRaggedGroups) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(3, 2);
  const std::vector<int64_t> offsets = {0, 5, 5, 7, 23, 27};
  std::vector<double> rewards(27);
  for (double& r : rewards) r = normal(random);
  for (int32_t baseline : {POLKA_BASELINE_MEAN, POLKA_BASELINE_LEAVE_ONE_OUT}) {
    for (int32_t scale : {POLKA_SCALE_NONE, POLKA_SCALE_STD_UNBIASED, POLKA_SCALE_STD_BIASED}) {
      for (int32_t placement : {POLKA_EPSILON_OUTSIDE, POLKA_EPSILON_IN_SQRT}) {
        for (double epsilon : {0.0, 1e-6, 0.5}) {
          const Options o = {baseline, scale, placement, POLKA_SINGLETON_ZERO, epsilon, 0, 0};
          const Result result = Compute(rewards, offsets, o);
          for (size_t g = 0; g + 1 < offsets.size(); ++g) {
            const std::vector<double> group(rewards.begin() + offsets[g], rewards.begin() + offsets[g + 1]);
            for (size_t i = 0; i < group.size(); ++i) {
              EXPECT_NEAR(result.advantages[offsets[g] + i], ReferenceAdvantage(group, i, o), 1e-13);
            }
          }
        }
      }
    }
  }
}

TEST(GroupAdvantageTest, ZeroVarianceGroupsGiveExactlyZero) {
  for (int64_t n = 2; n <= 64; ++n) {
    for (int hundredths = -300; hundredths <= 300; ++hundredths) {
      const double v = hundredths / 100.0;
      for (double epsilon : {0.0, 1e-9}) {
        const Options o = {
            POLKA_BASELINE_MEAN, POLKA_SCALE_STD_UNBIASED, POLKA_EPSILON_OUTSIDE, POLKA_SINGLETON_ZERO, epsilon, 0, 0};
        const Result f64 = Compute(std::vector<double>(n, v), {0, n}, o);
        const Result f32 = Compute(std::vector<float>(n, static_cast<float>(v)), {0, n}, o);
        ASSERT_EQ(f64.advantages, std::vector<double>(n, 0.0)) << v;
        ASSERT_EQ(f32.advantages, std::vector<double>(n, 0.0)) << v;
        ASSERT_EQ(f64.zero_variance[0], 1);
        ASSERT_EQ(f64.std[0], 0.0);
        ASSERT_EQ(f64.mean[0], v);
      }
    }
  }
}

TEST(GroupAdvantageTest, OneOddRewardAmongEqualOnesKeepsItsDigits) {
  for (int64_t n = 2; n <= 64; ++n) {
    for (double v : {0.98, 1.0, 12.84, 1e9}) {
      std::vector<double> rewards(n, v);
      rewards[0] = 0;
      const Result result = Compute(rewards, {0, n}, {});
      const double count = static_cast<double>(n);
      const double std = v / sqrt(count);
      EXPECT_NEAR(result.std[0] / std, 1, 1e-13);
      EXPECT_NEAR(result.advantages[0], -v * (count - 1) / count / (std + 1e-6), 1e-12 * count);
      EXPECT_EQ(result.zero_variance[0], 0);
    }
  }
}

TEST(GroupAdvantageTest, TinyAndHugeDifferencesNeitherVanishNorOverflow) {
  for (double unit : {1e-300, 1e-160, 1.0, 1e160, 1e300}) {
    const Options o = {
        POLKA_BASELINE_MEAN, POLKA_SCALE_STD_BIASED, POLKA_EPSILON_OUTSIDE, POLKA_SINGLETON_ZERO, 0, 0, 0};
    const Result result = Compute<double>({0, unit, 2 * unit, unit}, {0, 4}, o);
    EXPECT_NEAR(result.advantages[0], -sqrt(2.0), 1e-14);
    EXPECT_NEAR(result.advantages[1], 0, 1e-14);
    EXPECT_NEAR(result.advantages[2], sqrt(2.0), 1e-14);
  }
}

TEST(GroupAdvantageTest, NanRewardsAreExcludedAndGetZero) {
  const double nan = NAN;
  const Result with = Compute<double>({1, nan, 3, 6, nan}, {0, 5}, {});
  const Result without = Compute<double>({1, 3, 6}, {0, 3}, {});
  EXPECT_EQ(with.advantages,
            (std::vector<double>{without.advantages[0], 0, without.advantages[1], without.advantages[2], 0}));
  EXPECT_EQ(with.finite[0], 3);
  EXPECT_EQ(with.mean[0], without.mean[0]);
  EXPECT_EQ(with.std[0], without.std[0]);
}

TEST(GroupAdvantageTest, AGroupWithoutAFiniteRewardHasNoStatistics) {
  const Result result = Compute<double>({NAN, NAN}, {0, 0, 2}, {});
  for (size_t g : {0, 1}) {
    EXPECT_TRUE(isnan(result.mean[g]));
    EXPECT_TRUE(isnan(result.std[g]));
    EXPECT_EQ(result.finite[g], 0);
    EXPECT_EQ(result.zero_variance[g], 1);
  }
  EXPECT_EQ(result.advantages, (std::vector<double>{0, 0}));
}

TEST(GroupAdvantageTest, OneFiniteRewardIsASingleton) {
  Options o;
  EXPECT_EQ(Compute<double>({NAN, 0.7}, {0, 2}, o).advantages, (std::vector<double>{0, 0}));
  o.singleton = POLKA_SINGLETON_RAW;
  const Result raw = Compute<double>({NAN, 0.7}, {0, 2}, o);
  EXPECT_EQ(raw.advantages, (std::vector<double>{0, 0.7 / (1 + 1e-6)}));
  EXPECT_EQ(raw.mean[0], 0.7);
  EXPECT_EQ(raw.std[0], 0.0);
  o.placement = POLKA_EPSILON_IN_SQRT;
  EXPECT_EQ(Compute<double>({0.7}, {0, 1}, o).advantages, std::vector<double>{0.7 / sqrt(1 + 1e-6)});
  o.scale = POLKA_SCALE_NONE;
  o.baseline = POLKA_BASELINE_LEAVE_ONE_OUT;
  EXPECT_EQ(Compute<double>({0.7}, {0, 1}, o).advantages, std::vector<double>{0.7});
}

TEST(GroupAdvantageTest, ASingletonIsRefusedOnRequestBeforeAnythingIsWritten) {
  Options o;
  o.singleton = POLKA_SINGLETON_ERROR;
  Call<double> call({1, 2, 3}, {0, 2, 3}, o);
  EXPECT_EQ(polka_group_advantage(&call.args), POLKA_INVALID_ARGUMENT);
  EXPECT_STREQ(polka_last_error(), "rewards: group 1 has one finite reward, at least 2 are needed");
  EXPECT_EQ(call.result.advantages, (std::vector<double>{-7, -7, -7}));
}

TEST(GroupAdvantageTest, AnInfiniteRewardIsRefusedByItsIndex) {
  Call<float> call({1, 2, -INFINITY, INFINITY}, {0, 4}, {});
  EXPECT_EQ(polka_group_advantage(&call.args), POLKA_INVALID_ARGUMENT);
  EXPECT_STREQ(polka_last_error(), "rewards: reward 2 is -inf, outside [-1e301, 1e301]");
  EXPECT_EQ(call.result.advantages, (std::vector<double>{-7, -7, -7, -7}));
}

// The largest that are taken give finite statistics, whatever is asked of them.
TEST(GroupAdvantageTest, ARewardWhoseSumsCouldOverflowIsRefused) {
  Call<double> call({1e308, -1e308}, {0, 2}, {});
  EXPECT_EQ(polka_group_advantage(&call.args), POLKA_INVALID_ARGUMENT);
  EXPECT_STREQ(polka_last_error(), "rewards: reward 0 is 1e+308, outside [-1e301, 1e301]");
  for (const int32_t placement : {POLKA_EPSILON_OUTSIDE, POLKA_EPSILON_IN_SQRT}) {
    Options o;
    o.placement = placement;
    const Result most = Compute<double>({1e300, -1e300}, {0, 2}, o);
    EXPECT_NEAR(most.advantages[0], sqrt(0.5), 1e-15);
    EXPECT_NEAR(most.advantages[1], -sqrt(0.5), 1e-15);
    EXPECT_NEAR(most.std[0] / 1e300, sqrt(2.0), 1e-15);
  }
}

TEST(GroupAdvantageTest, F32ResultsAreTheF64OnesRounded) {
  std::vector<float> rewards = {0.1f, 0.9f, 0.3f, 0.3f, 0.7f};
  Call<float> call(rewards, {0, 2, 5}, {});
  ASSERT_EQ(polka_group_advantage(&call.args), POLKA_OK);
  std::vector<float> rounded(5);
  Call<float> f32(rewards, {0, 2, 5}, {});
  f32.args.advantages = Address(rounded.data());
  f32.args.advantage_dtype = POLKA_F32;
  ASSERT_EQ(polka_group_advantage(&f32.args), POLKA_OK);
  for (size_t i = 0; i < rounded.size(); ++i) {
    EXPECT_EQ(rounded[i], static_cast<float>(call.result.advantages[i]));
  }
}

TEST(GroupAdvantageTest, ResultsDoNotDependOnThreadsNorOnOtherGroups) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::uniform_int_distribution<int64_t> length(0, 40);
  std::vector<int64_t> offsets = {0};
  for (int g = 0; g < 20000; ++g) offsets.push_back(offsets.back() + length(random));
  std::vector<float> rewards(offsets.back());
  for (float& r : rewards) r = uniform(random);
  Call<float> one(rewards, offsets, {}), four(rewards, offsets, {});
  one.args.exec.threads = 1;
  four.args.exec.threads = 4;
  ASSERT_EQ(polka_group_advantage(&one.args), POLKA_OK);
  ASSERT_EQ(polka_group_advantage(&four.args), POLKA_OK);
  EXPECT_EQ(one.result.advantages, four.result.advantages);
  EXPECT_EQ(one.result.finite, four.result.finite);
  const int64_t first = offsets[777], last = offsets[778];
  const std::vector<float> alone(rewards.begin() + first, rewards.begin() + last);
  const Result single = Compute(alone, {0, last - first}, {});
  for (int64_t i = first; i < last; ++i) EXPECT_EQ(single.advantages[i - first], one.result.advantages[i]);
}

TEST(GroupAdvantageTest, NoRewardsIsFine) {
  EXPECT_EQ(Compute<double>({}, {0}, {}).advantages.size(), 0u);
  polka_group_advantage_args args = {};
  args.struct_size = sizeof args;
  EXPECT_EQ(polka_group_advantage(&args), POLKA_OK) << polka_last_error();
}

TEST(GroupAdvantageTest, BadArgumentsAreNamed) {
  struct Case {
    void (*spoil)(polka_group_advantage_args&);
    polka_status status;
    const char* text;
  };
  const Case cases[] = {
      {[](auto& a) { a.count = 4; }, POLKA_INVALID_ARGUMENT, "group_offsets: ends at 3, must end at 4"},
      {[](auto& a) { a.count = -1; }, POLKA_INVALID_ARGUMENT, "count: -1 is negative"},
      {[](auto& a) { a.rewards = 0; }, POLKA_INVALID_ARGUMENT, "rewards: address is 0"},
      {[](auto& a) { a.rewards += 2; }, POLKA_INVALID_ARGUMENT,
       "rewards: address is not aligned to its 8-byte elements"},
      {[](auto& a) { a.advantages = 0; }, POLKA_INVALID_ARGUMENT, "advantages: address is 0"},
      {[](auto& a) { a.reward_dtype = POLKA_BF16; }, POLKA_INVALID_ARGUMENT,
       "rewards: dtype bf16 (1) is not f32 or f64"},
      {[](auto& a) { a.advantage_dtype = 9; }, POLKA_INVALID_ARGUMENT,
       "advantages: dtype unknown (9) is not f32 or f64"},
      {[](auto& a) { a.epsilon = -1; }, POLKA_INVALID_ARGUMENT, "epsilon: -1 is not finite and >= 0"},
      {[](auto& a) { a.epsilon = NAN; }, POLKA_INVALID_ARGUMENT, "epsilon: nan is not finite and >= 0"},
      {[](auto& a) { a.baseline = 5; }, POLKA_INVALID_ARGUMENT, "baseline: 5 is outside [0, 4]"},
      {[](auto& a) { a.scale = -1; }, POLKA_INVALID_ARGUMENT, "scale: -1 is outside [0, 5]"},
      {[](auto& a) { a.baseline = POLKA_BASELINE_SOFT_MEAN; }, POLKA_INVALID_ARGUMENT,
       "soft_beta: 0 is not finite and other than 0"},
      {[](auto& a) { a.scale = POLKA_SCALE_GIVEN, a.given_scale = INFINITY; }, POLKA_INVALID_ARGUMENT,
       "given_scale: inf is not finite and >= 0"},
      {[](auto& a) { a.weights = 4; }, POLKA_INVALID_ARGUMENT,
       "weights: address is not aligned to its 8-byte elements"},
      {[](auto& a) { a.epsilon_placement = 2; }, POLKA_INVALID_ARGUMENT, "epsilon_placement: 2 is outside [0, 1]"},
      {[](auto& a) { a.singleton = 3; }, POLKA_INVALID_ARGUMENT, "singleton: 3 is outside [0, 2]"},
      {[](auto& a) { a.exec.device_type = POLKA_CUDA; }, POLKA_UNAVAILABLE,
       "device: cuda:0 was asked for, but this library was built without CUDA"},
  };
  for (const Case& c : cases) {
    Call<double> call({1, 2, 3}, {0, 3}, {});
    c.spoil(call.args);
    EXPECT_EQ(polka_group_advantage(&call.args), c.status);
    EXPECT_STREQ(polka_last_error(), c.text);
  }
}

// Advantages of one group with weights.
std::vector<double> Weighted(std::vector<double> rewards, const std::vector<double>& weights, const Options& o) {
  const int64_t n = static_cast<int64_t>(rewards.size());
  Call<double> call(std::move(rewards), {0, n}, o);
  call.args.weights = weights.empty() ? 0 : Address(weights.data());
  EXPECT_EQ(polka_group_advantage(&call.args), POLKA_OK) << polka_last_error();
  return call.result.advantages;
}

TEST(GroupAdvantageTest, TheWeightedMeanIsThatOfTheFiniteRewards) {
  Options o;
  o.baseline = POLKA_BASELINE_WEIGHTED_MEAN;
  o.scale = POLKA_SCALE_NONE;
  // (2 * 1 + 6 * 3) / 8 = 2.5
  EXPECT_EQ(Weighted({1, NAN, 3}, {2, 100, 6}, o), (std::vector<double>{-1.5, 0, 0.5}));
  EXPECT_EQ(Weighted({1, 3}, {}, o), (std::vector<double>{-1, 1}));
  EXPECT_EQ(Weighted({1, 3, 8}, {0, 0, 4}, o), (std::vector<double>{-7, -5, 0}));
  EXPECT_EQ(Weighted({1, 3, NAN}, {0, 0, 4}, o), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(Weighted({3, 3}, {1, 5}, o), (std::vector<double>{0, 0}));
}

TEST(GroupAdvantageTest, TheSoftMeanLiesBetweenTheMeanAndTheMaximum) {
  Options o;
  o.baseline = POLKA_BASELINE_SOFT_MEAN;
  o.scale = POLKA_SCALE_NONE;
  o.soft_beta = 2;
  const double expected = log((exp(2.0) + 3 * exp(-1.0)) / 4) / 2;
  EXPECT_NEAR(Weighted({1, -0.5}, {1, 3}, o)[0], 1 - expected, 1e-15);
  o.soft_beta = 1e-9;
  EXPECT_NEAR(Weighted({1, 2, 6}, {}, o)[0], -2, 1e-8);
  o.soft_beta = 1e6;
  EXPECT_NEAR(Weighted({1, 2, 6}, {}, o)[0], -5 + log(3) / 1e6, 1e-12);
  o.soft_beta = -1e6;
  EXPECT_NEAR(Weighted({1, 2, 6}, {}, o)[2], 5 - log(3) / 1e6, 1e-12);
}

TEST(GroupAdvantageTest, OnlyTheBestRewardStandsAboveTheRunnerUp) {
  Options o;
  o.baseline = POLKA_BASELINE_RUNNER_UP;
  o.scale = POLKA_SCALE_NONE;
  EXPECT_EQ(Compute<double>({1, NAN, 7, 4}, {0, 4}, o).advantages, (std::vector<double>{0, 0, 3, 0}));
  EXPECT_EQ(Compute<double>({7, 4, 7}, {0, 3}, o).advantages, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(Compute<double>({7, -4}, {0, 2}, o).advantages, (std::vector<double>{11, 0}));
}

TEST(GroupAdvantageTest, TheStandardDeviationOfTheOthersKeepsItsDigits) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(0, 1);
  Options o;
  o.baseline = POLKA_BASELINE_LEAVE_ONE_OUT;
  o.scale = POLKA_SCALE_STD_LEAVE_ONE_OUT;
  o.epsilon = 0;
  for (size_t n = 2; n <= 40; ++n) {
    for (const double outlier : {0.0, 1e3, 1e9}) {
      std::vector<double> rewards(n);
      for (double& r : rewards) r = normal(random);
      rewards[n / 2] += outlier;
      const std::vector<double> actual = Weighted(rewards, {}, o);
      for (size_t i = 0; i < n; ++i) {
        std::vector<double> others = rewards;
        others.erase(others.begin() + static_cast<int64_t>(i));
        double sum = 0, squares = 0;
        for (const double r : others) sum += r;
        const double mean = sum / static_cast<double>(n - 1);
        for (const double r : others) squares += (r - mean) * (r - mean);
        const double std = n < 3 ? 1 : sqrt(squares / static_cast<double>(n - 2));
        EXPECT_NEAR(actual[i], (rewards[i] - mean) / std, 1e-12 * (1 + fabs(actual[i]))) << n << " " << i;
      }
    }
  }
}

TEST(GroupAdvantageTest, WhereTheOthersAreEqualNothingIsDivided) {
  Options o;
  o.baseline = POLKA_BASELINE_LEAVE_ONE_OUT;
  o.scale = POLKA_SCALE_STD_LEAVE_ONE_OUT;
  for (const double v : {0.98, 1.0, 12.84}) {
    for (const size_t n : {2u, 3u, 16u}) {
      std::vector<double> rewards(n, v);
      rewards[0] = 0;
      EXPECT_NEAR(Weighted(rewards, {}, o)[0], -v, 1e-14 * v);
    }
  }
}

TEST(GroupAdvantageTest, ScalingByTheMeanLeavesOutGroupsWithoutSuccess) {
  Options o;
  o.scale = POLKA_SCALE_MEAN;
  o.epsilon = 0;
  const Result result = Compute<double>({1, 0, 0, 1, 0, 0, -1, -2}, {0, 4, 6, 8}, o);
  EXPECT_EQ(result.advantages, (std::vector<double>{1, -1, -1, 1, 0, 0, 0, 0}));
}

TEST(GroupAdvantageTest, AGivenScaleTakesThePlaceOfTheGroupsOwn) {
  Options o;
  o.scale = POLKA_SCALE_GIVEN;
  o.given_scale = 3.5;
  o.epsilon = 0.5;
  EXPECT_EQ(Compute<double>({1, 3, 5, 9}, {0, 2, 4}, o).advantages, (std::vector<double>{-0.25, 0.25, -0.5, 0.5}));
  o.placement = POLKA_EPSILON_IN_SQRT;
  EXPECT_EQ(Compute<double>({1, 3}, {0, 2}, o).advantages[1], 1 / sqrt(3.5 * 3.5 + 0.5));
}

TEST(GroupAdvantageTest, EveryBaselineAndScaleGivesEqualRewardsExactlyZero) {
  for (int32_t baseline = POLKA_BASELINE_MEAN; baseline <= POLKA_BASELINE_RUNNER_UP; ++baseline) {
    for (int32_t scale = POLKA_SCALE_NONE; scale <= POLKA_SCALE_GIVEN; ++scale) {
      const Options o = {baseline, scale, POLKA_EPSILON_OUTSIDE, POLKA_SINGLETON_ZERO, 1e-9, 0.3, 0.1};
      for (size_t n = 1; n <= 64; n += 7) {
        for (int hundredths = -100; hundredths <= 100; ++hundredths) {
          ASSERT_EQ(Weighted(std::vector<double>(n, hundredths / 100.0), {}, o), std::vector<double>(n, 0.0));
        }
      }
    }
  }
}

TEST(GroupAdvantageTest, AdvantagesMayBeWrittenOverTheRewards) {
  for (int32_t baseline = POLKA_BASELINE_MEAN; baseline <= POLKA_BASELINE_RUNNER_UP; ++baseline) {
    for (int32_t scale = POLKA_SCALE_NONE; scale <= POLKA_SCALE_GIVEN; ++scale) {
      const Options o = {baseline, scale, POLKA_EPSILON_OUTSIDE, POLKA_SINGLETON_ZERO, 1e-9, 0.3, 0.1};
      Call<double> apart({3, 1, 4, 1, 5, 9, 2, 6}, {0, 5, 8}, o), in_place({3, 1, 4, 1, 5, 9, 2, 6}, {0, 5, 8}, o);
      in_place.args.advantages = in_place.args.rewards;
      ASSERT_EQ(polka_group_advantage(&apart.args), POLKA_OK);
      ASSERT_EQ(polka_group_advantage(&in_place.args), POLKA_OK);
      EXPECT_EQ(in_place.rewards, apart.result.advantages);
    }
  }
}

TEST(GroupAdvantageTest, ABadWeightIsRefusedByItsIndex) {
  Options o;
  o.baseline = POLKA_BASELINE_WEIGHTED_MEAN;
  for (const double bad : {-1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    const std::vector<double> weights = {1, bad};
    Call<double> call({1, 2}, {0, 2}, o);
    call.args.weights = Address(weights.data());
    EXPECT_EQ(polka_group_advantage(&call.args), POLKA_INVALID_ARGUMENT);
    EXPECT_NE(std::string(polka_last_error()).find("weights: weight 1 is "), std::string::npos);
    call.args.baseline = POLKA_BASELINE_MEAN;
    EXPECT_EQ(polka_group_advantage(&call.args), POLKA_OK) << "weights that are not read are not checked";
  }
}

}  // namespace
}  // namespace polka
