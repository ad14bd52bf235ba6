// token_returns and segment, which see sequences of tokens, against the CPU backend, whose memory the
// emulator shares.
#include <gtest/gtest.h>

#include <random>

#include "test/gpu.h"

namespace polka::cuda::test {
namespace {

using emulator::Mistake;
using emulator::Options;

// Sequences of all lengths, an empty one and one that is masked whole, NaN under the mask.
struct Tokens {
  std::vector<int64_t> offsets = {0, 0, 1, 4, 36};
  std::vector<float> rewards, values;
  std::vector<uint8_t> mask;
  std::vector<float> bootstrap, lambda;

  Tokens() {
    for (int64_t b = 0; b < 90; ++b) offsets.push_back(offsets.back() + b % 13);
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 1);
    for (int64_t t = 0; t < count(); ++t) {
      mask.push_back(t % 5 != 3 && (t < 1 || t >= 4));
      rewards.push_back(mask.back() ? normal(random) : NAN);
      values.push_back(mask.back() ? normal(random) : NAN);
    }
    for (int64_t b = 0; b < sequences(); ++b) {
      bootstrap.push_back(normal(random));
      lambda.push_back(static_cast<float>(b % 11) / 10);
    }
  }
  int64_t count() const { return offsets.back(); }
  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

template <class T>
uint64_t Address(std::vector<T>& v) {
  return reinterpret_cast<uint64_t>(v.data());
}

void ExpectBits(const std::vector<float>& gpu, const std::vector<float>& cpu) {
  EXPECT_EQ(memcmp(gpu.data(), cpu.data(), cpu.size() * sizeof(float)), 0);
}

enum class Lambdas { kOne, kPerSequence, kByLength };

void CheckReturns(bool with_values, bool masked, bool bootstrapped, Lambdas lambdas, double gamma) {
  Tokens tokens;
  if (!masked) {
    for (float& r : tokens.rewards) r = isnan(r) ? 1 : r;
    for (float& v : tokens.values) v = isnan(v) ? 0.5f : v;
  }
  const int64_t count = tokens.count();
  Gpu gpu;
  polka_token_returns_args a = {};
  a.struct_size = sizeof a;
  a.count = count;
  a.sequences = tokens.sequences();
  a.gamma = gamma;
  a.lambda = 0.95;
  a.value_lambda = 1;
  a.length_alpha = lambdas == Lambdas::kByLength ? 0.5 : 0;
  polka_token_returns_args cpu = a;
  a.offsets = gpu.Input(tokens.offsets, "offsets");
  a.rewards = gpu.Input(tokens.rewards, "rewards");
  cpu.offsets = Address(tokens.offsets);
  cpu.rewards = Address(tokens.rewards);
  std::vector<float> advantages(static_cast<size_t>(count)), returns(static_cast<size_t>(count));
  if (with_values) {
    a.values = gpu.Input(tokens.values, "values");
    a.advantages = gpu.Output<float>(count, "advantages");
    cpu.values = Address(tokens.values);
    cpu.advantages = Address(advantages);
  }
  if (masked) {
    a.mask = gpu.Input(tokens.mask, "mask");
    cpu.mask = Address(tokens.mask);
  }
  if (bootstrapped) {
    a.bootstrap = gpu.Input(tokens.bootstrap, "bootstrap");
    cpu.bootstrap = Address(tokens.bootstrap);
  }
  if (lambdas == Lambdas::kPerSequence) {
    a.sequence_lambda = gpu.Input(tokens.lambda, "sequence_lambda");
    cpu.sequence_lambda = Address(tokens.lambda);
  }
  a.returns = gpu.Output<float>(count, "returns");
  cpu.returns = Address(returns);
  gpu.Run(a);
  EXPECT_EQ(gpu.Findings(), "");
  EXPECT_EQ(gpu.Status(), kStatusFine);
  ASSERT_EQ(polka_token_returns(&cpu), POLKA_OK) << polka_last_error();
  ExpectBits(gpu.Fetch<float>(a.returns, count), returns);
  if (with_values) ExpectBits(gpu.Fetch<float>(a.advantages, count), advantages);
}

TEST(TokenReturns, EveryOptionGivesTheBitsOfTheCpu) {
  for (const bool values : {false, true}) {
    for (const bool masked : {false, true}) {
      for (const bool bootstrapped : {false, true}) {
        for (const Lambdas lambdas : {Lambdas::kOne, Lambdas::kPerSequence, Lambdas::kByLength}) {
          for (const double gamma : {0.0, 0.9, 1.0}) CheckReturns(values, masked, bootstrapped, lambdas, gamma);
        }
      }
    }
  }
}

TEST(TokenReturns, BadContentsAreReportedAndGiveNan) {
  const auto run = [](const std::vector<int64_t>& offsets, const std::vector<float>& lambda) {
    Gpu gpu;
    polka_token_returns_args a = {};
    a.count = 5;
    a.sequences = static_cast<int64_t>(offsets.size()) - 1;
    a.gamma = 1;
    a.offsets = gpu.Input(offsets, "offsets");
    a.rewards = gpu.Input(std::vector<float>(5, 1.0f), "rewards");
    a.values = gpu.Input(std::vector<float>(5, 1.0f), "values");
    a.sequence_lambda = gpu.Input(lambda, "sequence_lambda");
    a.returns = gpu.Output<float>(5, "returns");
    gpu.Run(a);
    EXPECT_EQ(gpu.Findings(), "");
    EXPECT_TRUE(isnan(gpu.Fetch<float>(a.returns, 5)[3]));
    return gpu.Status();
  };
  EXPECT_EQ(run({0, 2, 9, 5}, {1, 1, 1}), (uint64_t{2} << 35) | (uint64_t{2} << 32));
  EXPECT_EQ(run({0, 2, 5}, {1, 2}), (uint64_t{1} << 35) | (uint64_t{6} << 32) | BitCast<uint32_t>(2.0f));
}

TEST(Segment, EveryReductionGivesTheNumbersOfTheCpu) {
  for (int32_t reduction = POLKA_SEGMENT_SUM; reduction <= POLKA_SEGMENT_MAX; ++reduction) {
    Tokens tokens;
    const int64_t count = tokens.count(), segments = tokens.sequences();
    Gpu gpu;
    polka_segment_args a = {};
    a.struct_size = sizeof a;
    a.count = count;
    a.segments = segments;
    a.reduction = reduction;
    polka_segment_args cpu = a;
    a.offsets = gpu.Input(tokens.offsets, "offsets");
    a.values = gpu.Input(tokens.rewards, "values");
    a.mask = gpu.Input(tokens.mask, "mask");
    a.results = gpu.Output<float>(segments, "results");
    a.broadcast = gpu.Output<float>(count, "broadcast");
    gpu.Run(a);
    EXPECT_EQ(gpu.Findings(), "");
    EXPECT_EQ(gpu.Status(), kStatusFine);
    std::vector<float> results(static_cast<size_t>(segments)), broadcast(static_cast<size_t>(count));
    cpu.offsets = Address(tokens.offsets);
    cpu.values = Address(tokens.rewards);
    cpu.mask = Address(tokens.mask);
    cpu.results = Address(results);
    cpu.broadcast = Address(broadcast);
    ASSERT_EQ(polka_segment(&cpu), POLKA_OK) << polka_last_error();
    const std::vector<float> found = gpu.Fetch<float>(a.results, segments);
    const std::vector<float> spread = gpu.Fetch<float>(a.broadcast, count);
    for (size_t s = 0; s < found.size(); ++s) {
      if (results[s] != found[s]) {
        EXPECT_NEAR(found[s], results[s], 2e-7 * fabs(static_cast<double>(results[s]))) << s;
      }
      for (int64_t t = tokens.offsets[s]; t < tokens.offsets[s + 1]; ++t) {
        const bool counts = tokens.mask[static_cast<size_t>(t)] != 0;
        EXPECT_EQ(spread[static_cast<size_t>(t)], counts ? found[s] : 0) << t;
      }
    }
  }
}

TEST(Segment, FallingOffsetsAreReportedAndGiveNan) {
  Gpu gpu;
  polka_segment_args a = {};
  a.count = 3;
  a.segments = 2;
  a.offsets = gpu.Input(std::vector<int64_t>{0, 7, 3}, "offsets");
  a.values = gpu.Input(std::vector<float>{1, 2, 3}, "values");
  a.results = gpu.Output<float>(2, "results");
  gpu.Run(a);
  EXPECT_EQ(gpu.Findings(), "");
  EXPECT_TRUE(isnan(gpu.Fetch<float>(a.results, 2)[0]));
  EXPECT_EQ(gpu.Status(), (uint64_t{1} << 35) | (uint64_t{2} << 32));
}

TEST(Segment, OneSegmentMoreOrLessIsCaught) {
  for (const Mistake mistake : {Mistake::kOneColumnMore, Mistake::kOneColumnLess}) {
    Options options;
    options.mistake = mistake;
    Gpu gpu(options);
    polka_segment_args a = {};
    a.count = 3;
    a.segments = 2;
    a.offsets = gpu.Input(std::vector<int64_t>{0, 1, 3}, "offsets");
    a.values = gpu.Input(std::vector<float>{1, 2, 3}, "values");
    a.results = gpu.Output<float>(2, "results");
    gpu.Run(a);
    EXPECT_TRUE(gpu.Findings() != "" || isnan(gpu.Fetch<float>(a.results, 2)[1]));
  }
}

}  // namespace
}  // namespace polka::cuda::test
