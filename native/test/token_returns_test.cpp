// Returns and advantages of tokens, against the sums that define them.
#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <vector>

#include "arguments.h"

namespace polka {
namespace {

using test::Address;

struct Batch {
  std::vector<int64_t> offsets;
  std::vector<float> rewards, values, bootstrap, sequence_lambda;
  std::vector<uint8_t> mask;
};

struct Options {
  double gamma = 1, lambda = 1, value_lambda = 1, length_alpha = 0;
};

struct Result {
  std::vector<float> advantages, returns;
};

polka_token_returns_args Arguments(const Batch& b, const Options& o, Result& result) {
  const auto address = [](const auto& v) { return v.empty() ? 0 : Address(v.data()); };
  result.advantages.assign(b.rewards.size(), -7);
  result.returns.assign(b.rewards.size(), -7);
  polka_token_returns_args args = {};
  args.struct_size = sizeof args;
  args.count = static_cast<int64_t>(b.rewards.size());
  args.sequences = static_cast<int64_t>(b.offsets.size()) - 1;
  args.offsets = Address(b.offsets.data());
  args.rewards = address(b.rewards);
  args.values = address(b.values);
  args.mask = address(b.mask);
  args.bootstrap = address(b.bootstrap);
  args.sequence_lambda = address(b.sequence_lambda);
  args.advantages = b.values.empty() ? 0 : address(result.advantages);
  args.returns = address(result.returns);
  args.gamma = o.gamma;
  args.lambda = o.lambda;
  args.value_lambda = o.value_lambda;
  args.length_alpha = o.length_alpha;
  return args;
}

Result Compute(const Batch& b, const Options& o, int32_t threads = 1) {
  Result result;
  polka_token_returns_args args = Arguments(b, o, result);
  args.exec.threads = threads;
  EXPECT_EQ(polka_token_returns(&args), POLKA_OK) << polka_last_error();
  return result;
}

// The sum that defines an advantage, over the unmasked tokens of a sequence from number k on.
double Gae(const std::vector<double>& rewards, const std::vector<double>& values, size_t k, double gamma,
           double lambda) {
  double sum = 0;
  for (size_t t = k; t < rewards.size(); ++t) {
    const double delta = rewards[t] + gamma * values[t + 1] - values[t];
    sum += pow(gamma * lambda, static_cast<double>(t - k)) * delta;
  }
  return sum;
}

Batch RandomBatch(uint64_t seed, int64_t sequences, int64_t longest) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::uniform_int_distribution<int64_t> length(0, longest);
  Batch b;
  b.offsets = {0};
  for (int64_t s = 0; s < sequences; ++s) {
    b.offsets.push_back(b.offsets.back() + length(random));
    b.bootstrap.push_back(normal(random));
    b.sequence_lambda.push_back(static_cast<float>(random() % 1000) / 1000);
  }
  for (int64_t t = 0; t < b.offsets.back(); ++t) {
    b.rewards.push_back(normal(random));
    b.values.push_back(normal(random));
    b.mask.push_back(random() % 4 != 0);
  }
  return b;
}

TEST(TokenReturnsTest, AdvantagesAndReturnsAreTheSumsThatDefineThem) {
  for (const bool masked : {false, true}) {
    for (const Options o : {Options{1, 1, 1, 0}, Options{0.97, 0.95, 1, 0}, Options{0.9, 0.5, 0.3, 0},
                            Options{1, 0, 0, 0}, Options{0, 0.7, 1, 0}, Options{0.99, 0.5, 0.95, 0.05}}) {
      Batch b = RandomBatch(1, 20, 70);
      if (!masked) b.mask.clear();
      for (const int per_sequence : {1, 0}) {
        if (per_sequence == 0) b.sequence_lambda.clear();
        const Result actual = Compute(b, o);
        for (size_t s = 0; s + 1 < b.offsets.size(); ++s) {
          std::vector<double> rewards, values;
          std::vector<size_t> rows;
          for (size_t t = b.offsets[s]; t < static_cast<size_t>(b.offsets[s + 1]); ++t) {
            if (masked && b.mask[t] == 0) {
              EXPECT_EQ(actual.advantages[t], 0);
              EXPECT_EQ(actual.returns[t], 0);
              continue;
            }
            rows.push_back(t);
            rewards.push_back(b.rewards[t]);
            values.push_back(b.values[t]);
          }
          values.push_back(b.bootstrap[s]);
          const double horizon = o.length_alpha * static_cast<double>(rows.size());
          const double lambda = o.length_alpha > 0  ? (horizon > 1 ? 1 - 1 / horizon : 0)
                                : per_sequence == 1 ? static_cast<double>(b.sequence_lambda[s])
                                                    : o.lambda;
          for (size_t k = 0; k < rows.size(); ++k) {
            const double advantage = Gae(rewards, values, k, o.gamma, lambda);
            const double target = values[k] + Gae(rewards, values, k, o.gamma, o.value_lambda);
            EXPECT_NEAR(actual.advantages[rows[k]], advantage, 1e-6 * (1 + fabs(advantage)));
            EXPECT_NEAR(actual.returns[rows[k]], target, 1e-6 * (1 + fabs(target)));
          }
        }
      }
    }
  }
}

TEST(TokenReturnsTest, WithoutValuesReturnsAreDiscountedSums) {
  Batch b;
  b.offsets = {0, 3, 3, 5};
  b.rewards = {1, 2, 4, 8, 16};
  EXPECT_EQ(Compute(b, {}).returns, (std::vector<float>{7, 6, 4, 24, 16}));
  EXPECT_EQ(Compute(b, {0.5, 1, 1, 0}).returns, (std::vector<float>{3, 4, 4, 16, 16}));
  EXPECT_EQ(Compute(b, {0, 1, 1, 0}).returns, b.rewards);
  b.bootstrap = {100, 100, 200};
  EXPECT_EQ(Compute(b, {0.5, 1, 1, 0}).returns, (std::vector<float>{15.5, 29, 54, 66, 116}));
}

TEST(TokenReturnsTest, MaskedSpansArePassedOver) {
  Batch b;
  b.offsets = {0, 6};
  b.rewards = {1, NAN, NAN, 2, 4, NAN};
  b.values = {1, NAN, INFINITY, 3, 5, NAN};
  b.mask = {1, 0, 0, 1, 1, 0};
  Batch dense;
  dense.offsets = {0, 3};
  dense.rewards = {1, 2, 4};
  dense.values = {1, 3, 5};
  const Options o = {0.9, 0.8, 0.7, 0};
  const Result actual = Compute(b, o), expected = Compute(dense, o);
  EXPECT_EQ(actual.advantages,
            (std::vector<float>{expected.advantages[0], 0, 0, expected.advantages[1], expected.advantages[2], 0}));
  EXPECT_EQ(actual.returns,
            (std::vector<float>{expected.returns[0], 0, 0, expected.returns[1], expected.returns[2], 0}));
}

TEST(TokenReturnsTest, AFullLambdaGivesReturnsLessValues) {
  Batch b = RandomBatch(2, 8, 300);
  b.sequence_lambda.clear();
  const Result gae = Compute(b, {0.99, 1, 0, 0});
  Batch plain = b;
  plain.values.clear();
  const Result returns = Compute(plain, {0.99, 1, 1, 0});
  for (size_t t = 0; t < b.rewards.size(); ++t) {
    if (b.mask[t] == 0) continue;
    EXPECT_NEAR(gae.advantages[t], returns.returns[t] - b.values[t], 1e-5);
  }
}

TEST(TokenReturnsTest, ANanStaysInItsSequenceAndBeforeItself) {
  Batch b;
  b.offsets = {0, 3, 5};
  b.rewards = {1, NAN, 1, 1, 1};
  b.values = {0, 0, 0, 0, 0};
  const Result result = Compute(b, {1, 1, 1, 0});
  EXPECT_TRUE(isnan(result.advantages[0]) && isnan(result.advantages[1]));
  EXPECT_EQ(result.advantages[2], 1);
  EXPECT_EQ(result.advantages[3], 2);
  const Result short_sighted = Compute(b, {0, 1, 1, 0});
  EXPECT_EQ(short_sighted.advantages[0], 1);
  EXPECT_TRUE(isnan(short_sighted.advantages[1]));
}

TEST(TokenReturnsTest, AMillionTokensKeepTheDigitsOfF32) {
  Batch b;
  b.offsets = {0, 1000000};
  b.rewards.assign(1000000, 0.1f);
  EXPECT_EQ(Compute(b, {}).returns[0], static_cast<float>(1000000 * static_cast<double>(0.1f)));
}

TEST(TokenReturnsTest, ResultsDoNotDependOnThreadsNorOnOtherSequences) {
  const Batch b = RandomBatch(3, 3000, 60);
  const Options o = {0.99, 0.9, 0.8, 0};
  const Result one = Compute(b, o, 1), four = Compute(b, o, 4);
  EXPECT_EQ(one.advantages, four.advantages);
  EXPECT_EQ(one.returns, four.returns);
  const size_t first = b.offsets[1234], last = b.offsets[1235];
  const auto part = [&](const auto& v) { return std::vector(v.begin() + first, v.begin() + last); };
  const Batch alone = {{0, static_cast<int64_t>(last - first)},
                       part(b.rewards),
                       part(b.values),
                       {b.bootstrap[1234]},
                       {b.sequence_lambda[1234]},
                       part(b.mask)};
  EXPECT_EQ(Compute(alone, o).advantages, part(one.advantages));
}

TEST(TokenReturnsTest, NoTokensIsFine) {
  polka_token_returns_args args = {};
  args.struct_size = sizeof args;
  EXPECT_EQ(polka_token_returns(&args), POLKA_OK) << polka_last_error();
  Batch b;
  b.offsets = {0, 0, 0};
  EXPECT_EQ(Compute(b, {}).returns.size(), 0u);
}

TEST(TokenReturnsTest, BadArgumentsAreNamedAndNothingIsWritten) {
  struct Case {
    void (*spoil)(polka_token_returns_args&);
    polka_status status;
    const char* text;
  };
  static const float high_lambda[] = {0.5f, 1.5f};
  const Case cases[] = {
      {[](auto& a) { a.count = -1; }, POLKA_INVALID_ARGUMENT, "count: -1 is negative"},
      {[](auto& a) { a.count = 6; }, POLKA_INVALID_ARGUMENT, "offsets: ends at 5, must end at 6"},
      {[](auto& a) { a.offsets = 0; }, POLKA_INVALID_ARGUMENT, "offsets: address is 0"},
      {[](auto& a) { a.rewards = 0; }, POLKA_INVALID_ARGUMENT, "rewards: address is 0"},
      {[](auto& a) { a.values += 1; }, POLKA_INVALID_ARGUMENT, "values: address is not aligned to its 4-byte elements"},
      {[](auto& a) { a.values = 0; }, POLKA_INVALID_ARGUMENT, "advantages: need values"},
      {[](auto& a) { a.gamma = 1.5; }, POLKA_INVALID_ARGUMENT, "gamma: 1.5 is outside [0, 1]"},
      {[](auto& a) { a.lambda = NAN; }, POLKA_INVALID_ARGUMENT, "lambda: nan is outside [0, 1]"},
      {[](auto& a) { a.value_lambda = -1; }, POLKA_INVALID_ARGUMENT, "value_lambda: -1 is outside [0, 1]"},
      {[](auto& a) { a.length_alpha = -1; }, POLKA_INVALID_ARGUMENT, "length_alpha: -1 is not finite and >= 0"},
      {[](auto& a) { a.sequence_lambda = Address(high_lambda); }, POLKA_INVALID_ARGUMENT,
       "sequence_lambda: 1.5 of sequence 1 is outside [0, 1]"},
      {[](auto& a) { a.exec.device_type = POLKA_CUDA; }, POLKA_UNAVAILABLE,
       "device: cuda:0 was asked for, but this library was built without CUDA"},
  };
  Batch b;
  b.offsets = {0, 3, 5};
  b.rewards = b.values = {1, 2, 3, 4, 5};
  for (const Case& c : cases) {
    Result result;
    polka_token_returns_args args = Arguments(b, {}, result);
    c.spoil(args);
    EXPECT_EQ(polka_token_returns(&args), c.status);
    EXPECT_STREQ(polka_last_error(), c.text);
    EXPECT_EQ(result.returns, std::vector<float>(5, -7.0f));
  }
}

}  // namespace
}  // namespace polka
