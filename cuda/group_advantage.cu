#include "group_advantage.cuh"

#include "backend.h"

namespace polka::cuda {

polka_status GroupAdvantageOnDevice(polka_group_advantage_args* args) {
  // What the status word can name.
  constexpr int64_t kMaxCount = int64_t{1} << 28;
  if (args->count > kMaxCount || args->groups > kMaxCount) {
    return Fail(POLKA_INVALID_ARGUMENT, "count: %lld rewards in %lld groups; on CUDA at most %lld of each",
                static_cast<long long>(args->count), static_cast<long long>(args->groups),
                static_cast<long long>(kMaxCount));
  }
  if (args->groups == 0) {
    if (args->count == 0) return POLKA_OK;
    return Fail(POLKA_INVALID_ARGUMENT, "group_offsets: 0 groups for %lld rewards",
                static_cast<long long>(args->count));
  }
  const DeviceScope scope(args->exec);
  POLKA_TRY(scope.status());
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(args->exec, &status), "group_advantage"));
  return Status(LaunchGroupAdvantage(*args, status, DeviceLauncher{StreamOf(args->exec)}), "group_advantage");
}

}  // namespace polka::cuda
