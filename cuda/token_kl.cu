#include "token_kl.cuh"

#include "backend.h"

namespace polka::cuda {

polka_status TokenKlOnDevice(polka_token_kl_args* args) {
  if (args->count > kMaxBlocks * TokenKlKernel::kThreads) {
    return Fail(POLKA_INVALID_ARGUMENT, "count: %lld; on CUDA at most %lld", static_cast<long long>(args->count),
                static_cast<long long>(kMaxBlocks * TokenKlKernel::kThreads));
  }
  const DeviceScope scope(args->exec);
  POLKA_TRY(scope.status());
  return Status(LaunchTokenKl(*args, DeviceLauncher{StreamOf(args->exec)}), "token_kl");
}

}  // namespace polka::cuda
