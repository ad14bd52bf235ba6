// The formulas of native/math as the kernels use them, and 2^x.
#pragma once

#include "polka.h"
#include "vec.cuh"

namespace polka::cuda {

#include "number.inl"
#include "softmax.inl"
#include "divergence.inl"
#include "token_kl.inl"
#include "policy_term.inl"
#include "policy_loss.inl"
#include "group_advantage.inl"
#include "token_returns.inl"
#include "segment.inl"

constexpr float kLn2 = 0.693147181f;

// 2^x by the exponential unit: one instruction, 2 ulp, results below the normal range are 0.
POLKA_DEVICE float Exp2(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  const float y = exp2f(x);
  return y < 0x1p-126f ? 0.0f : y;
#endif
}

// The power-of-two form of exp((y - base) / T): 2^(y k - base k), one fused multiply-add a column.
// The product base k is rounded once; `delta` is what that adds to every exponent, taken out of the
// sums afterwards.
struct Exponent {
  float k;   // log2(e) / T
  float bk;  // base k, rounded
  float delta;

  POLKA_DEVICE Exponent(float base, float log2e_over_t)
      : k(log2e_over_t), bk(base * log2e_over_t), delta(fmaf(base, log2e_over_t, -bk)) {}

  POLKA_DEVICE float operator()(float y) const { return fmaf(y, k, -bk); }
};

constexpr float kLog2e = 1.44269504f;

}  // namespace polka::cuda
