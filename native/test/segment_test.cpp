// One number per segment of tokens, against plain sums.
#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <vector>

#include "arguments.h"

namespace polka {
namespace {

using test::Address;

struct Result {
  std::vector<float> results, broadcast;
};

polka_segment_args Arguments(const std::vector<float>& values, const std::vector<int64_t>& offsets,
                             const std::vector<uint8_t>& mask, int32_t reduction, Result& result) {
  result.results.assign(offsets.size() - 1, -7);
  result.broadcast.assign(values.size(), -7);
  const auto address = [](const auto& v) { return v.empty() ? 0 : Address(v.data()); };
  polka_segment_args args = {};
  args.struct_size = sizeof args;
  args.count = static_cast<int64_t>(values.size());
  args.segments = static_cast<int64_t>(offsets.size()) - 1;
  args.offsets = Address(offsets.data());
  args.values = address(values);
  args.mask = address(mask);
  args.results = address(result.results);
  args.broadcast = address(result.broadcast);
  args.reduction = reduction;
  return args;
}

Result Compute(const std::vector<float>& values, const std::vector<int64_t>& offsets, const std::vector<uint8_t>& mask,
               int32_t reduction, int32_t threads = 1) {
  Result result;
  polka_segment_args args = Arguments(values, offsets, mask, reduction, result);
  args.exec.threads = threads;
  EXPECT_EQ(polka_segment(&args), POLKA_OK) << polka_last_error();
  return result;
}

TEST(SegmentTest, EveryReductionIsWhatItsNameSays) {
  const std::vector<float> values = {1, 2, 6, -3, 0.5f};
  const std::vector<int64_t> offsets = {0, 3, 5};
  const auto both = [&](int32_t reduction) { return Compute(values, offsets, {}, reduction).results; };
  const double exps = (exp(1.0) + exp(2.0) + exp(6.0)) / 3, others = (exp(-3.0) + exp(0.5)) / 2;
  EXPECT_EQ(both(POLKA_SEGMENT_SUM), (std::vector<float>{9, -2.5f}));
  EXPECT_EQ(both(POLKA_SEGMENT_MEAN), (std::vector<float>{3, -1.25f}));
  EXPECT_EQ(both(POLKA_SEGMENT_MEAN_EXP), (std::vector<float>{static_cast<float>(exps), static_cast<float>(others)}));
  EXPECT_FLOAT_EQ(both(POLKA_SEGMENT_LOG_MEAN_EXP)[0], static_cast<float>(log(exps)));
  EXPECT_FLOAT_EQ(both(POLKA_SEGMENT_LOG_MEAN_EXP)[1], static_cast<float>(log(others)));
  EXPECT_EQ(both(POLKA_SEGMENT_MAX), (std::vector<float>{6, 0.5f}));
}

TEST(SegmentTest, TheResultIsSpreadOverItsTokens) {
  const Result r = Compute({1, NAN, 3, 5, INFINITY}, {0, 3, 3, 5}, {1, 0, 1, 1, 0}, POLKA_SEGMENT_SUM);
  EXPECT_EQ(r.results, (std::vector<float>{4, 0, 5}));
  EXPECT_EQ(r.broadcast, (std::vector<float>{4, 0, 4, 5, 0}));
}

TEST(SegmentTest, ASegmentWithoutTokensHasTheNeutralElement) {
  for (const std::vector<uint8_t>& mask : {std::vector<uint8_t>{0, 0}, std::vector<uint8_t>{2, 1}}) {
    const std::vector<int64_t> offsets = mask[0] == 0 ? std::vector<int64_t>{0, 2} : std::vector<int64_t>{0, 0, 2};
    const auto first = [&](int32_t reduction) { return Compute({NAN, NAN}, offsets, mask, reduction).results[0]; };
    EXPECT_EQ(first(POLKA_SEGMENT_SUM), 0);
    EXPECT_EQ(first(POLKA_SEGMENT_MEAN), 0);
    EXPECT_EQ(first(POLKA_SEGMENT_MEAN_EXP), 0);
    EXPECT_EQ(first(POLKA_SEGMENT_LOG_MEAN_EXP), -INFINITY);
    EXPECT_EQ(first(POLKA_SEGMENT_MAX), -INFINITY);
  }
}

TEST(SegmentTest, TheLogOfAMeanOfExponentialsNeverOverflows) {
  const auto lme = [](std::vector<float> x) {
    const int64_t n = static_cast<int64_t>(x.size());
    return Compute(x, {0, n}, {}, POLKA_SEGMENT_LOG_MEAN_EXP).results[0];
  };
  EXPECT_FLOAT_EQ(lme({1e30f, 1e30f}), 1e30f);
  EXPECT_FLOAT_EQ(lme({-1e5f, -1e5f + 1}), static_cast<float>(-1e5 + log((1 + exp(1.0)) / 2)));
  EXPECT_FLOAT_EQ(lme({2000, 0, 2000, 1000}), static_cast<float>(2000 - log(2)));
  EXPECT_FLOAT_EQ(lme({-INFINITY, 3}), static_cast<float>(3 - log(2)));
  EXPECT_FLOAT_EQ(lme({3, -INFINITY}), static_cast<float>(3 - log(2)));
  EXPECT_EQ(lme({-INFINITY, -INFINITY}), -INFINITY);
  EXPECT_EQ(lme({INFINITY, 3, INFINITY}), INFINITY);
}

TEST(SegmentTest, ANanMakesItsSegmentNan) {
  for (int32_t reduction = POLKA_SEGMENT_SUM; reduction <= POLKA_SEGMENT_MAX; ++reduction) {
    const Result r = Compute({1, NAN, 5, NAN, 1, 2}, {0, 3, 5, 6}, {}, reduction);
    EXPECT_TRUE(isnan(r.results[0])) << reduction;
    EXPECT_TRUE(isnan(r.results[1])) << reduction;
    EXPECT_FALSE(isnan(r.results[2])) << reduction;
  }
}

TEST(SegmentTest, ResultsDoNotDependOnThreadsNorOnOtherSegments) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<int64_t> offsets = {0};
  for (int s = 0; s < 4000; ++s) offsets.push_back(offsets.back() + static_cast<int64_t>(random() % 60));
  std::vector<float> values(offsets.back());
  for (float& v : values) v = normal(random);
  for (int32_t reduction = POLKA_SEGMENT_SUM; reduction <= POLKA_SEGMENT_MAX; ++reduction) {
    const Result one = Compute(values, offsets, {}, reduction, 1), four = Compute(values, offsets, {}, reduction, 4);
    EXPECT_EQ(one.results, four.results);
    EXPECT_EQ(one.broadcast, four.broadcast);
    const std::vector<float> alone(values.begin() + offsets[77], values.begin() + offsets[78]);
    EXPECT_EQ(Compute(alone, {0, offsets[78] - offsets[77]}, {}, reduction).results[0], one.results[77]);
  }
}

TEST(SegmentTest, NothingIsFine) {
  polka_segment_args args = {};
  args.struct_size = sizeof args;
  EXPECT_EQ(polka_segment(&args), POLKA_OK) << polka_last_error();
}

TEST(SegmentTest, BadArgumentsAreNamedAndNothingIsWritten) {
  struct Case {
    void (*spoil)(polka_segment_args&);
    polka_status status;
    const char* text;
  };
  const Case cases[] = {
      {[](auto& a) { a.count = -1; }, POLKA_INVALID_ARGUMENT, "count: -1 is negative"},
      {[](auto& a) { a.segments = 1; }, POLKA_INVALID_ARGUMENT, "offsets: ends at 2, must end at 3"},
      {[](auto& a) { a.offsets += 4; }, POLKA_INVALID_ARGUMENT,
       "offsets: address is not aligned to its 8-byte elements"},
      {[](auto& a) { a.values = 0; }, POLKA_INVALID_ARGUMENT, "values: address is 0"},
      {[](auto& a) { a.results += 2; }, POLKA_INVALID_ARGUMENT,
       "results: address is not aligned to its 4-byte elements"},
      {[](auto& a) { a.reduction = 5; }, POLKA_INVALID_ARGUMENT, "reduction: 5 is outside [0, 4]"},
      {[](auto& a) { a.exec.device_type = POLKA_CUDA; }, POLKA_UNAVAILABLE,
       "device: cuda:0 was asked for, but this library was built without CUDA"},
  };
  const std::vector<float> values = {1, 2, 3};
  const std::vector<int64_t> offsets = {0, 2, 3};
  for (const Case& c : cases) {
    Result result;
    polka_segment_args args = Arguments(values, offsets, {}, POLKA_SEGMENT_SUM, result);
    c.spoil(args);
    EXPECT_EQ(polka_segment(&args), c.status);
    EXPECT_STREQ(polka_last_error(), c.text);
    EXPECT_EQ(result.broadcast, std::vector<float>(3, -7.0f));
  }
}

}  // namespace
}  // namespace polka
