// Valid arguments for the tests to start from and spoil one field of.
#pragma once

#include <stdint.h>

#include <vector>

#include "polka.h"

namespace polka::test {

template <class T>
uint64_t Address(const T* p) {
  return reinterpret_cast<uint64_t>(p);
}

// A plain [rows, cols] matrix over `data`.
template <class T>
polka_matrix MatrixOf(const T* data, int64_t rows, int64_t cols, int32_t dtype = POLKA_F32) {
  return {Address(data), rows, cols, cols, 1, 0, dtype, 0};
}

inline polka_softmax PlainSoftmax() { return {0, 0, 0, 0, 1.0f, 0.0f}; }

inline polka_targets TargetsOf(const int64_t* data, const uint8_t* mask = nullptr) {
  return {Address(data), Address(mask), -100, POLKA_I64, 0};
}

// Every instruction set that this machine can run.
inline std::vector<int32_t> SupportedTargets() {
  std::vector<int32_t> targets;
  for (int32_t t : {POLKA_TARGET_SSE4, POLKA_TARGET_AVX2, POLKA_TARGET_AVX3}) {
    if (polka_target_supported(t)) targets.push_back(t);
  }
  return targets;
}

}  // namespace polka::test
