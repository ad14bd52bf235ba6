#include "segment.cuh"

#include "backend.h"

namespace polka::cuda {

polka_status SegmentOnDevice(polka_segment_args* args) {
  POLKA_TRY(CheckSpans(args->segments, args->count, "segments"));
  const DeviceScope scope(args->exec);
  POLKA_TRY(scope.status());
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(args->exec, &status), "segment"));
  return Status(LaunchSegment(*args, status, DeviceLauncher{StreamOf(args->exec)}), "segment");
}

}  // namespace polka::cuda
