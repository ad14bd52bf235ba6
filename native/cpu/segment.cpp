// One number per segment of tokens, spread back over it on request: a segment belongs to one thread,
// which reads its values in order, 5 bytes a token. Segments are what threads share.
#include <math.h>

#include "cuda_backend.h"
#include "parallel.h"
#include "polka.h"
#include "rows.h"
#include "status.h"

namespace polka {
namespace {

#include "number.inl"
#include "segment.inl"

polka_status CheckSegment(const polka_segment_args& a) {
  POLKA_TRY(CheckOption(a.reduction, POLKA_SEGMENT_MAX, "reduction"));
  if (a.count < 0) return Fail(POLKA_INVALID_ARGUMENT, "count: %lld is negative", static_cast<long long>(a.count));
  POLKA_TRY(CheckArray(a.values, a.count, 4, "values"));
  POLKA_TRY(CheckArray(a.results, 0, 4, "results"));
  POLKA_TRY(CheckArray(a.broadcast, 0, 4, "broadcast"));
  POLKA_TRY(CheckArray(a.offsets, 0, 8, "offsets"));
  return CheckOffsets(a.offsets, a.segments, a.count, "offsets", OnCpu(a.exec));
}

void RunSegment(const polka_segment_args& a, int64_t s) {
  const int64_t* offsets = reinterpret_cast<const int64_t*>(a.offsets);
  const float* values = reinterpret_cast<const float*>(a.values);
  SegmentState state = StartSegment();
  for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) {
    if (!Masked(a.mask, t)) AddToSegment(a.reduction, state, static_cast<double>(values[t]));
  }
  const float result = static_cast<float>(FinishSegment(a.reduction, state));
  if (a.results != 0) reinterpret_cast<float*>(a.results)[s] = result;
  if (a.broadcast == 0) return;
  for (int64_t t = offsets[s]; t < offsets[s + 1]; ++t) {
    reinterpret_cast<float*>(a.broadcast)[t] = Masked(a.mask, t) ? 0 : result;
  }
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_segment(polka_segment_args* args) {
  using namespace polka;
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, "segment"));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckExec(args->exec, true));
  POLKA_TRY(CheckSegment(*args));
  if (args->segments == 0) return POLKA_OK;
  if (!OnCpu(args->exec)) return kCudaBackend.segment(args);
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) RunSegment(*args, s);
  };
  // exp costs as much as 80 bytes of traffic.
  const bool exponentials = args->reduction == POLKA_SEGMENT_MEAN_EXP || args->reduction == POLKA_SEGMENT_LOG_MEAN_EXP;
  const int64_t token_bytes = exponentials ? 90 : 10;
  const int64_t bytes = args->count * token_bytes + args->segments * 12;
  ParallelFor(ThreadsFor(args->exec, bytes), args->segments, RowsPerChunk(bytes / args->segments), body);
  return POLKA_OK;
}
