// The one home of threads: OpenMP behind a plain function pointer, so that kernels compiled for
// several instruction sets share it.
#pragma once

#include <stdint.h>

#include "polka.h"

namespace polka {

// What a thread does while it waits for the next parallel region. It decides what starting one costs.
enum class WaitPolicy : int32_t { kSpinning, kPassive };

// What libgomp makes of the environment variables OMP_WAIT_POLICY and GOMP_SPINCOUNT (null: not set).
// Without either, threads spin for some milliseconds before they sleep.
WaitPolicy WaitPolicyOf(const char* omp_wait_policy, const char* gomp_spincount);

// This process's, read from the environment once.
WaitPolicy ProcessWaitPolicy();

// Threads that `work_bytes` of memory traffic are worth, at least 1, however many there are.
int64_t ThreadsWorth(WaitPolicy policy, int64_t work_bytes);

// Threads that `work_bytes` of memory traffic are worth, at most what the call or the process allows.
int32_t ThreadsFor(const polka_exec& exec, int64_t work_bytes);

// Rows handed to a thread at a time: about 256 KB, so that threads end together and rarely meet.
inline int64_t RowsPerChunk(int64_t row_bytes) {
  const int64_t rows = 256 * 1024 / (row_bytes > 0 ? row_bytes : 1);
  return rows < 1 ? 1 : rows;
}

using Work = void (*)(void* context, int64_t begin, int64_t end);

// Calls work on [0, count) in chunks of `chunk`, on `threads` threads. Which thread takes which chunk
// is not fixed; results must not depend on it.
void ParallelFor(int32_t threads, int64_t count, int64_t chunk, Work work, void* context);

// The same for a callable: body(begin, end).
template <class Body>
void ParallelFor(int32_t threads, int64_t count, int64_t chunk, Body& body) {
  ParallelFor(
      threads, count, chunk,
      [](void* context, int64_t begin, int64_t end) { (*static_cast<Body*>(context))(begin, end); }, &body);
}

}  // namespace polka
