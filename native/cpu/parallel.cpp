#include "parallel.h"

#include <omp.h>

namespace polka {
namespace {

int32_t process_threads = 0;  // 0: not set, the machine decides

// Bytes of traffic below which another thread costs more than it brings.
constexpr int64_t kGrainBytes = 256 * 1024;

// More threads than this per processor bring nothing, and a system that cannot start them ends the
// process.
constexpr int32_t kThreadsPerProcessor = 8;

}  // namespace

int32_t ThreadsFor(const polka_exec& exec, int64_t work_bytes) {
  const int64_t worth = work_bytes / kGrainBytes;
  if (worth <= 1) return 1;  // Before asking for the machine's threads, which is a system call.
  const int64_t asked = exec.threads > 0 ? exec.threads : polka_threads();
  const int64_t most = int64_t{kThreadsPerProcessor} * omp_get_num_procs();
  const int64_t allowed = asked < most ? asked : most;
  return static_cast<int32_t>(worth < allowed ? worth : allowed);
}

void ParallelFor(int32_t threads, int64_t count, int64_t chunk, Work work, void* context) {
  if (count <= 0) return;
  const int64_t chunks = (count + chunk - 1) / chunk;
  if (threads <= 1 || chunks == 1) {
    work(context, 0, count);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t begin = c * chunk;
    const int64_t end = begin + chunk < count ? begin + chunk : count;
    work(context, begin, end);
  }
}

}  // namespace polka

extern "C" int32_t polka_threads(void) {
  const int32_t set = __atomic_load_n(&polka::process_threads, __ATOMIC_RELAXED);
  return set > 0 ? set : omp_get_num_procs();
}

extern "C" void polka_set_threads(int32_t n) {
  __atomic_store_n(&polka::process_threads, n > 0 ? n : 0, __ATOMIC_RELAXED);
}
