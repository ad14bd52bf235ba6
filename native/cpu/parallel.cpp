#include "parallel.h"

#include <omp.h>
#include <stdlib.h>
#include <strings.h>

namespace polka {
namespace {

int32_t process_threads = 0;  // 0: not set, the machine decides

// Bytes of traffic that a thread must have for itself, so that another one is worth starting.
//
// Found on two cores (Xeon, AVX-512, GCC 12's libgomp) with the fastest kernel, the log_prob forward
// pass over f32, which reads 20 bytes per ns: one thread against two, in turns, the tenth percentile
// and the median of 300 calls of each size. An empty region of two threads takes 1 us where the
// threads spin and 40 to 90 us where they sleep, when they wake up on cores of their own; woken up on
// the caller's core, 5 us, they come too late to help.
//   spinning: 512 KB take 24 us on one thread and 14 us on two, 1 MB 48 and 26; 5 ms after the last
//     region, when threads that no policy holds awake have gone to sleep, 36 and 67, 69 and 70. So two
//     threads from 1 MB.
//   passive: 2 MB take 99 and 106 us, 4 MB 219 and 164 to 242, 8 MB 453 and 297 to 467. So two
//     threads from 4 MB.
constexpr int64_t kSpinningGrain = 512 * 1024;
constexpr int64_t kPassiveGrain = 2 * 1024 * 1024;

// 0 not asked yet, else 1 + WaitPolicy. Two threads that ask at once find the same.
int32_t wait_policy = 0;

const char* SkipBlanks(const char* text) {
  while (*text == ' ' || *text == '\t') ++text;
  return text;
}

// More threads than this per processor bring nothing, and a system that cannot start them ends the
// process.
constexpr int32_t kThreadsPerProcessor = 8;

}  // namespace

WaitPolicy WaitPolicyOf(const char* omp_wait_policy, const char* gomp_spincount) {
  // A number of spins overrules the policy, as in libgomp.
  if (gomp_spincount != nullptr && *SkipBlanks(gomp_spincount) != 0) {
    char* end;
    const unsigned long long spins = strtoull(gomp_spincount, &end, 10);
    return end != gomp_spincount && spins == 0 ? WaitPolicy::kPassive : WaitPolicy::kSpinning;
  }
  if (omp_wait_policy == nullptr) return WaitPolicy::kSpinning;
  const char* name = SkipBlanks(omp_wait_policy);
  const bool passive = strncasecmp(name, "passive", 7) == 0 && *SkipBlanks(name + 7) == 0;
  return passive ? WaitPolicy::kPassive : WaitPolicy::kSpinning;
}

WaitPolicy ProcessWaitPolicy() {
  int32_t known = __atomic_load_n(&wait_policy, __ATOMIC_RELAXED);
  if (known == 0) {
    known = 1 + static_cast<int32_t>(WaitPolicyOf(getenv("OMP_WAIT_POLICY"), getenv("GOMP_SPINCOUNT")));
    __atomic_store_n(&wait_policy, known, __ATOMIC_RELAXED);
  }
  return static_cast<WaitPolicy>(known - 1);
}

int64_t ThreadsWorth(WaitPolicy policy, int64_t work_bytes) {
  const int64_t worth = work_bytes / (policy == WaitPolicy::kPassive ? kPassiveGrain : kSpinningGrain);
  return worth < 1 ? 1 : worth;
}

int32_t ThreadsFor(const polka_exec& exec, int64_t work_bytes) {
  const int64_t worth = ThreadsWorth(ProcessWaitPolicy(), work_bytes);
  if (worth == 1) return 1;  // Before asking for the machine's threads, which is a system call.
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
