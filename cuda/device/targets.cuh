// Which column a row aims at, and the one word in which kernels report a row they could not serve.
#pragma once

#include "context.cuh"
#include "polka.h"

namespace polka::cuda {

// The status word: all ones where every row was fine, else the lowest bad row, what was bad, and its
// value: row * 2^35 + kind * 2^32 + 32 bits of value. Rows are fewer than 2^28.
constexpr uint64_t kStatusFine = ~uint64_t{0};
enum class BadRow : uint32_t {
  kTarget = 0,       // outside the vocabulary
  kTemperature = 1,  // not finite, or below 2^-126
  kOffsets = 2,      // offsets[row] falls or leaves [0, count]
  kReward = 3,       // infinite or beyond kMostReward
  kSingleton = 4,    // a group with one finite reward, where that is an error
  kWeight = 5,       // not finite and >= 0
  kLambda = 6,       // outside [0, 1]
};

// An out-of-range target keeps its value as far as 32 bits go.
POLKA_DEVICE uint32_t ClampedBits(int64_t value) {
  const int64_t low = INT32_MIN, high = INT32_MAX;
  return static_cast<uint32_t>(static_cast<int32_t>(value < low ? low : value > high ? high : value));
}

template <class Context>
POLKA_DEVICE void ReportRow(Context& ctx, uint64_t status, int64_t row, BadRow kind, uint32_t value) {
  if (status == 0) return;
  ctx.AtomicMin(reinterpret_cast<uint64_t*>(status),
                (static_cast<uint64_t>(row) << 35) | (static_cast<uint64_t>(kind) << 32) | value);
}

enum class RowState { kSkipped, kFine, kBad };

struct TargetOf {
  RowState state;
  int64_t column;  // as given
};

// A bad row is never read from: its results are NaN.
template <class Context>
POLKA_DEVICE TargetOf ReadTarget(Context& ctx, const polka_targets& t, int64_t row, int64_t columns) {
  if (t.mask != 0 && ctx.Load(reinterpret_cast<const uint8_t*>(t.mask) + row) == 0) return {RowState::kSkipped, -1};
  const int64_t column = t.dtype == POLKA_I64 ? ctx.Load(reinterpret_cast<const int64_t*>(t.data) + row)
                                              : ctx.Load(reinterpret_cast<const int32_t*>(t.data) + row);
  if (column == t.ignore_index) return {RowState::kSkipped, -1};
  return {column < 0 || column >= columns ? RowState::kBad : RowState::kFine, column};
}

POLKA_DEVICE bool GoodTemperature(float t) { return t >= 0x1p-126f && t - t == 0; }

}  // namespace polka::cuda
