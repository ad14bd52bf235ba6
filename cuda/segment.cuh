// segment on the device: a warp a segment. Its lanes load 32 tokens at a time and pass them round;
// every lane adds them all, in the order of the CPU. 5 bytes a token; the chain of sums decides, which
// a step of many segments hides.
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
  static constexpr int kThreads = 128;
  static constexpr int kBlocksPerSm = 4;

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_segment_args& a = p.args;
    const int64_t s = ctx.Block() * (kThreads / kWarpLanes) + ctx.Warp();
    if (s >= ctx.Columns(a.segments)) return;
    const Span span = SpanOf(ctx, p.status, a.offsets, a.segments, a.count, s);
    SegmentState state = StartSegment();
    for (int64_t begin = span.begin; begin < span.end; begin += kWarpLanes) {
      const int64_t t = begin + ctx.Lane();
      const int32_t counts = t < span.end && !IsMasked(ctx, a.mask, t);
      const float own = counts ? ctx.Load(reinterpret_cast<const float*>(a.values) + t) : 0;
      for (int lane = 0; lane < kWarpLanes; ++lane) {
        const double x = static_cast<double>(ctx.Shuffle(own, lane));
        if (ctx.Shuffle(counts, lane) != 0) AddToSegment(a.reduction, state, x);
      }
    }
    const float result = span.bad ? NAN : static_cast<float>(FinishSegment(a.reduction, state));
    if (a.results != 0 && ctx.Lane() == 0) ctx.Store(reinterpret_cast<float*>(a.results) + s, result);
    if (a.broadcast == 0) return;
    for (int64_t t = span.begin + ctx.Lane(); t < span.end; t += kWarpLanes) {
      ctx.Store(reinterpret_cast<float*>(a.broadcast) + t, IsMasked(ctx, a.mask, t) ? 0.0f : result);
    }
  }
};

template <class Launcher>
typename Launcher::Result LaunchSegment(const polka_segment_args& a, uint64_t status, const Launcher& launch) {
  constexpr int64_t kSegments = SegmentKernel::kThreads / kWarpLanes;
  const int64_t blocks = (a.segments + kSegments - 1) / kSegments;
  return launch(SegmentKernel{}, {blocks, SegmentKernel::kThreads, 1, 0}, {a, status});
}

}  // namespace polka::cuda
