#include "dispatch.h"

#include "cuda_backend.h"
#include "status.h"

namespace polka {
namespace {

int32_t forced_target = POLKA_TARGET_NONE;

}  // namespace

polka_status ChooseTarget(int32_t* target) {
  *target = polka_target();
  if (*target == POLKA_TARGET_NONE) {
    return Fail(POLKA_UNAVAILABLE, "cpu: this processor has no SSE4.2; Polka's kernels need it");
  }
  return POLKA_OK;
}

}  // namespace polka

extern "C" int32_t polka_target_supported(int32_t target) {
  __builtin_cpu_init();
  const bool sse4 = __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2");
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  const bool avx3 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  switch (target) {
    case POLKA_TARGET_SSE4:
      return sse4;
    case POLKA_TARGET_AVX2:
      return avx2;
    case POLKA_TARGET_AVX3:
      return avx3;
    default:
      return 0;
  }
}

extern "C" const char* polka_target_name(int32_t target) {
  switch (target) {
    case POLKA_TARGET_NONE:
      return "none";
    case POLKA_TARGET_SSE4:
      return "SSE4";
    case POLKA_TARGET_AVX2:
      return "AVX2";
    case POLKA_TARGET_AVX3:
      return "AVX3";
    default:
      return "unknown";
  }
}

extern "C" int32_t polka_target(void) {
  const int32_t forced = __atomic_load_n(&polka::forced_target, __ATOMIC_RELAXED);
  if (forced != POLKA_TARGET_NONE) return forced;
  for (int32_t target = POLKA_TARGET_AVX3; target > POLKA_TARGET_NONE; --target) {
    if (polka_target_supported(target)) return target;
  }
  return POLKA_TARGET_NONE;
}

extern "C" polka_status polka_force_target(int32_t target) {
  if (target != POLKA_TARGET_NONE && !polka_target_supported(target)) {
    return polka::Fail(POLKA_UNAVAILABLE, "target: %s (%d) is not compiled in or not supported by this processor",
                       polka_target_name(target), target);
  }
  __atomic_store_n(&polka::forced_target, target, __ATOMIC_RELAXED);
  return POLKA_OK;
}

extern "C" int32_t polka_cuda_available(void) {
  if (polka::HasCuda()) return polka::kCudaBackend.available();
  polka::Fail(POLKA_UNAVAILABLE, "this library was built without CUDA");
  return 0;
}

extern "C" polka_status polka_cuda_check(polka_exec* exec) {
  if (polka::HasCuda()) return polka::kCudaBackend.check(exec);
  return polka::Fail(POLKA_UNAVAILABLE, "this library was built without CUDA");
}

extern "C" const char* polka_version(void) { return POLKA_VERSION; }
