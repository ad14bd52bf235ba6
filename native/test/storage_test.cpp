// bf16 and f16 on every instruction set: what is read is what is stored, infinities and NaN too, and
// what is written is the nearest value, ties to even.
#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <vector>

#include "arguments.h"

namespace polka::test {
namespace {

float FromBits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

uint32_t Bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return bits;
}

float Stored(uint16_t bits, int32_t dtype) {
  if (dtype == POLKA_BF16) return FromBits(static_cast<uint32_t>(bits) << 16);
  _Float16 half;
  memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}

// By the compiler's own conversion to f16, and for bf16 by exact arithmetic on the two neighbours.
uint16_t Nearest(float f, int32_t dtype) {
  if (dtype == POLKA_F16) {
    const _Float16 half = static_cast<_Float16>(f);
    uint16_t bits;
    memcpy(&bits, &half, 2);
    return bits;
  }
  const uint16_t below = static_cast<uint16_t>(Bits(f) >> 16);
  const uint32_t rest = Bits(f) & 0xFFFF;
  if (isinf(f)) return below;
  return static_cast<uint16_t>(below + (rest > 0x8000 || (rest == 0x8000 && below % 2 == 1)));
}

class StorageTest : public testing::TestWithParam<int32_t> {
 protected:
  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }
};

// A row of the value and a column at -inf: its maximum is the value itself.
TEST_P(StorageTest, EveryStoredValueIsReadAsItIs) {
  constexpr int64_t kRows = 1 << 16;
  std::vector<uint16_t> logits;
  for (int64_t r = 0; r < kRows; ++r) {
    logits.push_back(static_cast<uint16_t>(r));
    logits.push_back(GetParam() == POLKA_BF16 ? 0xFF80 : 0xFC00);
  }
  const std::vector<int64_t> targets(kRows, 0);
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    std::vector<float> max(kRows, 99), log_prob(kRows, 99);
    polka_log_prob_forward_args a = {};
    a.struct_size = sizeof a;
    a.exec.threads = 1;
    a.logits = MatrixOf(logits.data(), kRows, 2, GetParam());
    a.targets = TargetsOf(targets.data());
    a.softmax = PlainSoftmax();
    a.max = Address(max.data());
    a.log_prob = Address(log_prob.data());
    ASSERT_EQ(polka_log_prob_forward(&a), POLKA_OK) << polka_last_error();
    for (int64_t r = 0; r < kRows; ++r) {
      const float z = Stored(static_cast<uint16_t>(r), GetParam());
      if (isfinite(z)) {
        ASSERT_EQ(max[static_cast<size_t>(r)], z) << polka_target_name(target) << " bits " << r;
        if (fabsf(z) < 1e8f) {
          ASSERT_EQ(log_prob[static_cast<size_t>(r)], 0) << polka_target_name(target) << " " << z;
        }
      } else {
        ASSERT_TRUE(isnan(log_prob[static_cast<size_t>(r)])) << polka_target_name(target) << " bits " << r;
      }
    }
  }
}

// Two equal logits: the target's gradient is half of what comes from above.
TEST_P(StorageTest, WhatIsWrittenIsTheNearestValue) {
  std::vector<float> written;
  // Around every stored value and every middle between two: below, at and above.
  for (uint32_t bits = 1; bits < 0x7F80; ++bits) {
    const float value = Stored(static_cast<uint16_t>(bits), GetParam());
    const float next = Stored(static_cast<uint16_t>(bits + 1), GetParam());
    if (!isfinite(value) || value > 1e37f) break;
    if (GetParam() == POLKA_BF16 && value < 1e-35f) continue;
    for (const float x : {value, isfinite(next) ? (value + next) / 2 : 65520.0f}) {
      for (const float f : {nextafterf(x, 0), x, nextafterf(x, INFINITY)}) {
        written.push_back(f);
        written.push_back(-f);
      }
    }
  }
  for (const float f : {1e-9f, 0x1p-25f, 0x1.8p-25f, 65535.0f, 65536.0f, 1e6f, 1e30f, INFINITY}) {
    written.push_back(f);
    written.push_back(-f);
  }
  const int64_t rows = static_cast<int64_t>(written.size());
  const std::vector<uint16_t> logits(written.size() * 2, 0);
  const std::vector<int64_t> targets(written.size(), 0);
  const std::vector<float> max(written.size(), 0), log_sum(written.size(), static_cast<float>(M_LN2));
  std::vector<float> upstream;
  for (const float f : written) upstream.push_back(2 * f);
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    std::vector<uint16_t> gradient(written.size() * 2, 0xAAAA);
    polka_log_prob_backward_args a = {};
    a.struct_size = sizeof a;
    a.exec.threads = 1;
    a.logits = MatrixOf(logits.data(), rows, 2, GetParam());
    a.targets = TargetsOf(targets.data());
    a.softmax = PlainSoftmax();
    a.max = Address(max.data());
    a.log_sum = Address(log_sum.data());
    a.d_log_prob = Address(upstream.data());
    a.d_logits = MatrixOf(gradient.data(), rows, 2, GetParam());
    ASSERT_EQ(polka_log_prob_backward(&a), POLKA_OK) << polka_last_error();
    for (size_t r = 0; r < written.size(); ++r) {
      ASSERT_EQ(gradient[2 * r], Nearest(written[r], GetParam())) << polka_target_name(target) << " " << written[r];
    }
  }
}

TEST_P(StorageTest, ANanStaysANan) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    const std::vector<uint16_t> logits(2, 0);
    const int64_t column = 0;
    const float max = 0, log_sum = 1, upstream = FromBits(0x7F800001);
    uint16_t gradient[2] = {};
    polka_log_prob_backward_args a = {};
    a.struct_size = sizeof a;
    a.logits = MatrixOf(logits.data(), 1, 2, GetParam());
    a.targets = TargetsOf(&column);
    a.softmax = PlainSoftmax();
    a.max = Address(&max);
    a.log_sum = Address(&log_sum);
    a.d_log_prob = Address(&upstream);
    a.d_logits = MatrixOf(gradient, 1, 2, GetParam());
    ASSERT_EQ(polka_log_prob_backward(&a), POLKA_OK) << polka_last_error();
    for (const uint16_t bits : gradient) EXPECT_TRUE(isnan(Stored(bits, GetParam()))) << polka_target_name(target);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, StorageTest, testing::Values(POLKA_BF16, POLKA_F16),
                         [](const auto& info) { return info.param == POLKA_BF16 ? "Bf16" : "F16"; });

}  // namespace
}  // namespace polka::test
