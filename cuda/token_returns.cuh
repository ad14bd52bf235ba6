// token_returns on the device: a thread a sequence, which goes through it from its last token to its
// first in f64, as on the CPU: the bits are the same. 21 bytes a token; the launch itself is most of the
// time.
#pragma once

#include "device/launch.cuh"
#include "device/math.cuh"
#include "device/span.cuh"

namespace polka::cuda {

struct TokenReturnsParams {
  polka_token_returns_args args;
  uint64_t status;
};

struct TokenReturnsKernel {
  using Params = TokenReturnsParams;
  static constexpr int kThreads = 64;
  static constexpr int kBlocksPerSm = 8;

  template <class Context>
  struct Lambdas {
    Context& ctx;
    const float* first;
    POLKA_DEVICE float operator[](int64_t b) const { return ctx.Load(first + b); }
  };

  template <class Context>
  POLKA_DEVICE static double At(Context& ctx, uint64_t address, int64_t i) {
    return address == 0 ? 0 : static_cast<double>(ctx.Load(reinterpret_cast<const float*>(address) + i));
  }

  template <class Context>
  POLKA_DEVICE static void Put(Context& ctx, uint64_t address, int64_t t, double value) {
    if (address != 0) ctx.Store(reinterpret_cast<float*>(address) + t, static_cast<float>(value));
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_token_returns_args& a = p.args;
    const int64_t b = ctx.Block() * kThreads + ctx.Warp() * kWarpLanes + ctx.Lane();
    if (b >= ctx.Columns(a.sequences)) return;
    Span span = SpanOf(ctx, p.status, a.offsets, a.sequences, a.count, b);
    const bool has_values = a.values != 0;
    int64_t tokens = 0;
    if (has_values && a.length_alpha > 0) {
      for (int64_t t = span.begin; t < span.end; ++t) tokens += !IsMasked(ctx, a.mask, t);
    }
    const Lambdas<Context> lambdas = {ctx, reinterpret_cast<const float*>(a.sequence_lambda)};
    const double lambda = has_values ? SequenceLambda(a, lambdas, b, tokens) : 0;
    if (!(lambda >= 0 && lambda <= 1)) {
      ReportRow(ctx, p.status, b, BadRow::kLambda, BitCast<uint32_t>(static_cast<float>(lambda)));
      span.bad = true;
    }
    const ReturnFactors factors = FactorsOf(a, lambda);
    ReturnState state = StartReturns(At(ctx, a.bootstrap, b));
    for (int64_t t = span.end - 1; t >= span.begin; --t) {
      ReturnsOfToken token = {0, 0};
      if (!IsMasked(ctx, a.mask, t)) {
        token = StepBack(state, factors, At(ctx, a.rewards, t), At(ctx, a.values, t), has_values);
        if (span.bad) token = {static_cast<double>(NAN), static_cast<double>(NAN)};
      }
      Put(ctx, a.advantages, t, token.advantage);
      Put(ctx, a.returns, t, token.returns);
    }
  }
};

template <class Launcher>
typename Launcher::Result LaunchTokenReturns(const polka_token_returns_args& a, uint64_t status,
                                             const Launcher& launch) {
  const int64_t blocks = (a.sequences + TokenReturnsKernel::kThreads - 1) / TokenReturnsKernel::kThreads;
  return launch(TokenReturnsKernel{}, {blocks, TokenReturnsKernel::kThreads, 1, 0}, {a, status});
}

}  // namespace polka::cuda
