// token_returns on the device: a warp a sequence. Its lanes load 32 tokens at a time, from the last
// to the first, and pass them round; every lane then takes the same steps back, in the order and with
// the bits of the CPU. 21 bytes a token, but the chain of steps decides: about 50 cycles each, which a
// step of many sequences hides.
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
  static constexpr int kThreads = 128;
  static constexpr int kBlocksPerSm = 4;

  template <class Context>
  struct Lambdas {
    Context& ctx;
    const float* first;
    POLKA_DEVICE float operator[](int64_t b) const { return ctx.Load(first + b); }
  };

  template <class T, class Context>
  POLKA_DEVICE static T At(Context& ctx, uint64_t address, int64_t i) {
    return ctx.Load(reinterpret_cast<const T*>(address) + i);
  }

  template <class Context>
  POLKA_DEVICE static void Put(Context& ctx, uint64_t address, int64_t i, double value) {
    if (address != 0) ctx.Store(reinterpret_cast<float*>(address) + i, static_cast<float>(value));
  }

  // Unmasked tokens, the same in every lane.
  template <class Context>
  POLKA_DEVICE static int64_t CountTokens(Context& ctx, const polka_token_returns_args& a, const Span& span) {
    int64_t tokens = 0;
    for (int64_t t = span.begin + ctx.Lane(); t < span.end; t += kWarpLanes) tokens += !IsMasked(ctx, a.mask, t);
    for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) tokens += ctx.ShuffleXor(tokens, mask);
    return tokens;
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_token_returns_args& a = p.args;
    const int64_t b = ctx.Block() * (kThreads / kWarpLanes) + ctx.Warp();
    if (b >= ctx.Columns(a.sequences)) return;
    const Span span = SpanOf(ctx, p.status, a.offsets, a.sequences, a.count, b);
    const bool has_values = a.values != 0;
    bool bad = span.bad;
    if (has_values && a.sequence_lambda != 0) {
      const float lambda = At<float>(ctx, a.sequence_lambda, b);
      if (!(lambda >= 0 && lambda <= 1)) {
        ReportRow(ctx, p.status, b, BadRow::kLambda, BitCast<uint32_t>(lambda));
        bad = true;
      }
    }
    const int64_t tokens = has_values && a.length_alpha > 0 ? CountTokens(ctx, a, span) : 0;
    const Lambdas<Context> lambdas = {ctx, reinterpret_cast<const float*>(a.sequence_lambda)};
    const ReturnFactors factors = FactorsOf(a, has_values ? SequenceLambda(a, lambdas, b, tokens) : 0);
    ReturnState state = StartReturns(a.bootstrap == 0 ? 0 : static_cast<double>(At<float>(ctx, a.bootstrap, b)));
    for (int64_t end = span.end; end > span.begin; end -= kWarpLanes) {
      const int64_t t = end - kWarpLanes + ctx.Lane();
      const int32_t counts = t >= span.begin && !IsMasked(ctx, a.mask, t);
      const float reward = counts ? At<float>(ctx, a.rewards, t) : 0;
      const float value = counts && has_values ? At<float>(ctx, a.values, t) : 0;
      ReturnsOfToken own = {0, 0};
      for (int lane = kWarpLanes - 1; lane >= 0; --lane) {
        const double r = static_cast<double>(ctx.Shuffle(reward, lane));
        const double v = static_cast<double>(ctx.Shuffle(value, lane));
        if (ctx.Shuffle(counts, lane) == 0) continue;
        const ReturnsOfToken token = StepBack(state, factors, r, v, has_values);
        if (lane == ctx.Lane()) own = token;
      }
      if (t < span.begin) continue;
      if (bad) own = {static_cast<double>(NAN), static_cast<double>(NAN)};
      Put(ctx, a.advantages, t, own.advantage);
      Put(ctx, a.returns, t, own.returns);
    }
  }
};

template <class Launcher>
typename Launcher::Result LaunchTokenReturns(const polka_token_returns_args& a, uint64_t status,
                                             const Launcher& launch) {
  constexpr int64_t kSequences = TokenReturnsKernel::kThreads / kWarpLanes;
  const int64_t blocks = (a.sequences + kSequences - 1) / kSequences;
  return launch(TokenReturnsKernel{}, {blocks, TokenReturnsKernel::kThreads, 1, 0}, {a, status});
}

}  // namespace polka::cuda
