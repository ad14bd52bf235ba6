// token_kl on the device: two vectors of log-probs -> KL estimates and their gradient, a thread a
// token. At 8 to 29 bytes a token the launch itself is most of the time.
#pragma once

#include "device/launch.cuh"
#include "device/math.cuh"

namespace polka::cuda {

struct TokenKlKernel {
  using Params = polka_token_kl_args;
  static constexpr int kThreads = 256;
  static constexpr int kBlocksPerSm = 4;

  template <class Context>
  POLKA_DEVICE static float At(Context& ctx, uint64_t address, int64_t i) {
    return ctx.Load(reinterpret_cast<const float*>(address) + i);
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& a) {
    const int64_t i = ctx.Block() * kThreads + ctx.Warp() * kWarpLanes + ctx.Lane();
    if (i >= ctx.Columns(a.count)) return;
    const float log_prob = At(ctx, a.log_prob, i);
    const bool weighted = a.gradient_mode == POLKA_KL_IMPORTANCE_WEIGHTED && a.old_log_prob != 0;
    const float old = weighted ? At(ctx, a.old_log_prob, i) : log_prob;
    Differentiable<float> k =
        TokenKl(a.estimator, a.gradient_mode, log_prob, At(ctx, a.ref_log_prob, i), old, a.max_log_ratio, a.k3_max);
    if (a.upstream != 0) k.derivative *= At(ctx, a.upstream, i);
    if (a.mask != 0 && ctx.Load(reinterpret_cast<const uint8_t*>(a.mask) + i) == 0) k = {0, 0};
    if (a.kl != 0) ctx.Store(reinterpret_cast<float*>(a.kl) + i, k.value);
    if (a.d_log_prob != 0) ctx.Store(reinterpret_cast<float*>(a.d_log_prob) + i, k.derivative);
  }
};

template <class Launcher>
typename Launcher::Result LaunchTokenKl(const polka_token_kl_args& a, const Launcher& launch) {
  const int64_t blocks = (a.count + TokenKlKernel::kThreads - 1) / TokenKlKernel::kThreads;
  return launch(TokenKlKernel{}, {blocks, TokenKlKernel::kThreads, 1, 0}, a);
}

}  // namespace polka::cuda
