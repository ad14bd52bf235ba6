// Chooses, per call, which of the compiled instruction sets a kernel runs with.
#pragma once

#include <stdint.h>

#include "polka.h"

namespace polka {

// One function compiled for every target. Filled by the operation's file from Highway's namespaces:
//   constexpr Kernel<Function> kForward = {N_SSE4::Forward, N_AVX2::Forward, N_AVX3::Forward};
template <class Function>
struct Kernel {
  Function sse4, avx2, avx3;

  Function For(int32_t target) const {
    return target == POLKA_TARGET_AVX3 ? avx3 : target == POLKA_TARGET_AVX2 ? avx2 : sse4;
  }
};

// Fails where the machine is older than every compiled target.
polka_status ChooseTarget(int32_t* target);

}  // namespace polka
