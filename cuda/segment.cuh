// segment on the device: a thread a segment, which reads its tokens in order, in f64. Sums and maxima
// have the CPU's bits; the exponentials are the device's own.
#pragma once

#include "device/launch.cuh"
#include "device/math.cuh"
#include "device/span.cuh"

namespace polka::cuda {

struct SegmentParams {
  polka_segment_args args;
  uint64_t status;
};

struct SegmentKernel {
  using Params = SegmentParams;
  static constexpr int kThreads = 64;
  static constexpr int kBlocksPerSm = 8;

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_segment_args& a = p.args;
    const int64_t s = ctx.Block() * kThreads + ctx.Warp() * kWarpLanes + ctx.Lane();
    if (s >= ctx.Columns(a.segments)) return;
    const Span span = SpanOf(ctx, p.status, a.offsets, a.segments, a.count, s);
    const float* values = reinterpret_cast<const float*>(a.values);
    SegmentState state = StartSegment();
    for (int64_t t = span.begin; t < span.end; ++t) {
      if (!IsMasked(ctx, a.mask, t)) AddToSegment(a.reduction, state, static_cast<double>(ctx.Load(values + t)));
    }
    const float result = span.bad ? NAN : static_cast<float>(FinishSegment(a.reduction, state));
    if (a.results != 0) ctx.Store(reinterpret_cast<float*>(a.results) + s, result);
    if (a.broadcast == 0) return;
    for (int64_t t = span.begin; t < span.end; ++t) {
      ctx.Store(reinterpret_cast<float*>(a.broadcast) + t, IsMasked(ctx, a.mask, t) ? 0.0f : result);
    }
  }
};

template <class Launcher>
typename Launcher::Result LaunchSegment(const polka_segment_args& a, uint64_t status, const Launcher& launch) {
  const int64_t blocks = (a.segments + SegmentKernel::kThreads - 1) / SegmentKernel::kThreads;
  return launch(SegmentKernel{}, {blocks, SegmentKernel::kThreads, 1, 0}, {a, status});
}

}  // namespace polka::cuda
