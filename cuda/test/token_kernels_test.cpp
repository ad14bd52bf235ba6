// The kernels that see no vocabulary, token_kl and group_advantage, against the CPU backend, whose
// memory the emulator shares.
#include <gtest/gtest.h>

#include <random>

#include "test/gpu.h"

namespace polka::cuda::test {
namespace {

using emulator::Mistake;
using emulator::Options;

TEST(TokenKl, EveryEstimatorAndModeMatchesTheCpu) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(-2, 1);
  for (const int64_t count : {1, 31, 256, 1000}) {
    std::vector<float> lp, ref, old, upstream;
    std::vector<uint8_t> mask;
    for (int64_t i = 0; i < count; ++i) {
      lp.push_back(normal(random));
      ref.push_back(i % 50 == 7 ? NAN : i % 50 == 8 ? lp.back() + 30 : normal(random));
      old.push_back(normal(random));
      upstream.push_back(normal(random));
      mask.push_back(i % 9 != 2);
    }
    for (int32_t estimator = POLKA_KL_K1; estimator <= POLKA_KL_K3; ++estimator) {
      for (int32_t mode = POLKA_KL_PATHWISE; mode <= POLKA_KL_DETACHED; ++mode) {
        Gpu gpu;
        polka_token_kl_args a = {};
        a.struct_size = sizeof a;
        a.count = count;
        a.log_prob = gpu.Input(lp, "log_prob");
        a.ref_log_prob = gpu.Input(ref, "ref_log_prob");
        a.old_log_prob = gpu.Input(old, "old_log_prob");
        a.upstream = gpu.Input(upstream, "upstream");
        a.mask = gpu.Input(mask, "mask");
        a.kl = gpu.Output<float>(count, "kl");
        a.d_log_prob = gpu.Output<float>(count, "d_log_prob");
        a.estimator = estimator;
        a.gradient_mode = mode;
        a.max_log_ratio = 20;
        a.k3_max = 10;
        gpu.Run(a);
        EXPECT_EQ(gpu.Findings(), "");
        const std::vector<float> kl = gpu.Fetch<float>(a.kl, count), d = gpu.Fetch<float>(a.d_log_prob, count);
        std::vector<float> cpu_kl(static_cast<size_t>(count)), cpu_d(static_cast<size_t>(count));
        a.kl = reinterpret_cast<uint64_t>(cpu_kl.data());
        a.d_log_prob = reinterpret_cast<uint64_t>(cpu_d.data());
        ASSERT_EQ(polka_token_kl(&a), POLKA_OK) << polka_last_error();
        for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
          EXPECT_EQ(isnan(kl[i]), isnan(cpu_kl[i]));
          if (isnan(cpu_kl[i])) continue;
          // The derivative is a difference of terms of the size of 1 or of the value.
          const double size = 1 + fabs(static_cast<double>(cpu_kl[i])) + fabs(static_cast<double>(cpu_d[i]));
          EXPECT_NEAR(kl[i], cpu_kl[i], 1e-6 * size) << estimator << " " << mode << " " << i;
          EXPECT_NEAR(d[i], cpu_d[i], 1e-6 * size) << estimator << " " << mode << " " << i;
        }
      }
    }
  }
}

TEST(TokenKl, OneTokenMoreOrLessIsCaught) {
  const std::vector<float> lp(300, -1.0f);
  for (const Mistake mistake : {Mistake::kOneColumnMore, Mistake::kOneColumnLess}) {
    Options options;
    options.mistake = mistake;
    Gpu gpu(options);
    polka_token_kl_args a = {};
    a.count = 300;
    a.log_prob = gpu.Input(lp, "log_prob");
    a.ref_log_prob = gpu.Input(lp, "ref_log_prob");
    a.kl = gpu.Output<float>(300, "kl");
    a.estimator = POLKA_KL_K1;
    a.max_log_ratio = a.k3_max = INFINITY;
    gpu.Run(a);
    EXPECT_TRUE(gpu.Findings() != "" || isnan(gpu.Fetch<float>(a.kl, 300)[299]));
  }
}

template <class Reward, class Result>
void CheckGroups(const std::vector<int64_t>& offsets, int32_t baseline, int32_t scale, int32_t placement,
                 int32_t singleton, bool weighted = false) {
  std::mt19937 random(5);
  std::normal_distribution<double> normal(0, 1);
  std::vector<Reward> rewards;
  for (int64_t i = 0; i < offsets.back(); ++i) {
    rewards.push_back(static_cast<Reward>(i % 11 == 5 ? NAN : i < 8 ? 0.1 : normal(random)));
  }
  const int64_t count = offsets.back(), groups = static_cast<int64_t>(offsets.size()) - 1;
  std::vector<double> weights;
  for (int64_t i = 0; i < count; ++i) weights.push_back(static_cast<double>(i % 5));
  Gpu gpu;
  polka_group_advantage_args a = {};
  a.struct_size = sizeof a;
  if (weighted) a.weights = gpu.Input(weights, "weights");
  a.soft_beta = 0.7;
  a.given_scale = 1.5;
  a.count = count;
  a.groups = groups;
  a.rewards = gpu.Input(rewards, "rewards");
  a.group_offsets = gpu.Input(offsets, "group_offsets");
  a.advantages = gpu.Output<Result>(count, "advantages");
  a.mean = gpu.Output<double>(groups, "mean");
  a.std = gpu.Output<double>(groups, "std");
  a.finite_count = gpu.Output<int64_t>(groups, "finite_count");
  a.zero_variance = gpu.Output<uint8_t>(groups, "zero_variance");
  a.epsilon = 1e-4;
  a.reward_dtype = sizeof(Reward) == 4 ? POLKA_F32 : POLKA_F64;
  a.advantage_dtype = sizeof(Result) == 4 ? POLKA_F32 : POLKA_F64;
  a.baseline = baseline;
  a.scale = scale;
  a.epsilon_placement = placement;
  a.singleton = singleton;
  gpu.Run(a);
  EXPECT_EQ(gpu.Findings(), "");
  EXPECT_EQ(gpu.Status(), kStatusFine);
  const std::vector<Result> advantages = gpu.Fetch<Result>(a.advantages, count);
  const std::vector<double> mean = gpu.Fetch<double>(a.mean, groups);
  std::vector<Result> cpu(static_cast<size_t>(count));
  std::vector<double> cpu_mean(static_cast<size_t>(groups));
  a.advantages = reinterpret_cast<uint64_t>(cpu.data());
  a.mean = reinterpret_cast<uint64_t>(cpu_mean.data());
  ASSERT_EQ(polka_group_advantage(&a), POLKA_OK) << polka_last_error();
  EXPECT_EQ(memcmp(advantages.data(), cpu.data(), cpu.size() * sizeof(Result)), 0);
  for (size_t g = 0; g < mean.size(); ++g) EXPECT_TRUE(mean[g] == cpu_mean[g] || isnan(cpu_mean[g]));
}

TEST(GroupAdvantage, EveryOptionGivesTheBitsOfTheCpu) {
  std::vector<int64_t> offsets = {0, 8, 8, 9, 20, 40};
  for (int64_t g = 0; g < 300; ++g) offsets.push_back(offsets.back() + 2 + g % 7);
  for (const int32_t baseline : {POLKA_BASELINE_MEAN, POLKA_BASELINE_LEAVE_ONE_OUT}) {
    for (const int32_t scale : {POLKA_SCALE_NONE, POLKA_SCALE_STD_UNBIASED, POLKA_SCALE_STD_BIASED}) {
      for (const int32_t placement : {POLKA_EPSILON_OUTSIDE, POLKA_EPSILON_IN_SQRT}) {
        for (const int32_t singleton : {POLKA_SINGLETON_ZERO, POLKA_SINGLETON_RAW}) {
          CheckGroups<float, float>(offsets, baseline, scale, placement, singleton);
          CheckGroups<double, double>(offsets, baseline, scale, placement, singleton);
          CheckGroups<float, double>(offsets, baseline, scale, placement, singleton);
          CheckGroups<double, float>(offsets, baseline, scale, placement, singleton);
        }
      }
    }
  }
}

// The soft mean's exp and log are the device's own on a GPU, and the host's in the emulator.
TEST(GroupAdvantage, EveryBaselineMeetsEveryScale) {
  std::vector<int64_t> offsets = {0, 8, 8, 9, 20, 40};
  for (int64_t g = 0; g < 100; ++g) offsets.push_back(offsets.back() + 1 + g % 7);
  for (int32_t baseline = POLKA_BASELINE_MEAN; baseline <= POLKA_BASELINE_RUNNER_UP; ++baseline) {
    if (baseline == POLKA_BASELINE_SOFT_MEAN && !Gpu::kEmulated) continue;
    for (int32_t scale = POLKA_SCALE_NONE; scale <= POLKA_SCALE_GIVEN; ++scale) {
      for (const bool weighted : {false, true}) {
        CheckGroups<double, double>(offsets, baseline, scale, POLKA_EPSILON_OUTSIDE, POLKA_SINGLETON_RAW, weighted);
      }
    }
  }
}

TEST(GroupAdvantage, ABadWeightIsReportedAndGivesNan) {
  Gpu gpu;
  polka_group_advantage_args a = {};
  a.count = 3;
  a.groups = 1;
  a.rewards = gpu.Input(std::vector<float>{1, 2, 4}, "rewards");
  a.group_offsets = gpu.Input(std::vector<int64_t>{0, 3}, "group_offsets");
  a.weights = gpu.Input(std::vector<double>{1, -1, 1}, "weights");
  a.advantages = gpu.Output<float>(3, "advantages");
  a.baseline = POLKA_BASELINE_WEIGHTED_MEAN;
  gpu.Run(a);
  EXPECT_EQ(gpu.Findings(), "");
  EXPECT_TRUE(isnan(gpu.Fetch<float>(a.advantages, 3)[0]));
  EXPECT_EQ(gpu.Status(), (uint64_t{1} << 35) | (uint64_t{5} << 32));
}

TEST(GroupAdvantage, BadContentsAreReportedAndGiveNan) {
  const auto run = [](const std::vector<float>& rewards, const std::vector<int64_t>& offsets) {
    Gpu gpu;
    polka_group_advantage_args a = {};
    a.count = static_cast<int64_t>(rewards.size());
    a.groups = static_cast<int64_t>(offsets.size()) - 1;
    a.rewards = gpu.Input(rewards, "rewards");
    a.group_offsets = gpu.Input(offsets, "group_offsets");
    a.advantages = gpu.Output<float>(a.count, "advantages");
    a.singleton = POLKA_SINGLETON_ERROR;
    gpu.Run(a);
    EXPECT_EQ(gpu.Findings(), "");
    EXPECT_TRUE(isnan(gpu.Fetch<float>(a.advantages, a.count)[2]));
    return gpu.Status();
  };
  constexpr uint64_t kOffsets = uint64_t{2} << 32, kReward = uint64_t{3} << 32, kSingleton = uint64_t{4} << 32;
  EXPECT_EQ(run({1, 2, INFINITY, 3}, {0, 2, 4}), (uint64_t{2} << 35) | kReward);
  EXPECT_EQ(run({1, 2, 3}, {0, 2, 3}), (uint64_t{1} << 35) | kSingleton);
  EXPECT_EQ(run({1, 2, 7, 3, 4}, {0, 2, 9, 5}), (uint64_t{2} << 35) | kOffsets);
}

}  // namespace
}  // namespace polka::cuda::test
