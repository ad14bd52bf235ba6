#include "token_returns.cuh"

#include "backend.h"

namespace polka::cuda {

polka_status TokenReturnsOnDevice(polka_token_returns_args* args) {
  POLKA_TRY(CheckSpans(args->sequences, args->count, "sequences"));
  const DeviceScope scope(args->exec);
  POLKA_TRY(scope.status());
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(args->exec, &status), "token_returns"));
  return Status(LaunchTokenReturns(*args, status, DeviceLauncher{StreamOf(args->exec)}), "token_returns");
}

}  // namespace polka::cuda
