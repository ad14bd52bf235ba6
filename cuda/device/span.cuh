// Where one sequence, group or segment lies among its tokens.
#pragma once

#include "targets.cuh"

namespace polka::cuda {

struct Span {
  int64_t begin;
  int64_t end;
  bool bad;  // reported; begin and end can still be read between
};

// Span `i` of `spans` over `count` entries. Offsets on the device are checked here: they go from 0 to
// count and do not fall. What does not is reported and clamped, so that nothing outside is touched.
template <class Context>
POLKA_DEVICE Span SpanOf(Context& ctx, uint64_t status, uint64_t offsets, int64_t spans, int64_t count, int64_t i) {
  const int64_t* at = reinterpret_cast<const int64_t*>(offsets) + i;
  int64_t begin = ctx.Load(at), end = ctx.Load(at + 1);
  const bool first_good = i == 0 ? begin == 0 : begin >= 0 && begin <= count;
  const bool last_good = i + 1 == spans ? end == count : end <= count;
  const bool bad = !(first_good && last_good && begin <= end);
  if (bad) ReportRow(ctx, status, first_good ? i + 1 : i, BadRow::kOffsets, 0);
  begin = begin < 0 ? 0 : begin;
  end = end > count ? count : end;
  return {begin, end, bad};
}

template <class Context>
POLKA_DEVICE bool IsMasked(Context& ctx, uint64_t mask, int64_t t) {
  return mask != 0 && ctx.Load(reinterpret_cast<const uint8_t*>(mask) + t) == 0;
}

}  // namespace polka::cuda
