// token_kl: two vectors of log-probs -> KL estimates and their gradient, a vector of tokens at a time.
//
// Bound by memory for k1, abs and k2 (8 to 21 bytes read and up to 8 written per token), by exp for
// k3. Every token is a lane of a full vector, the last few through a padded copy: so a token's bits
// depend neither on its place nor on the number of tokens or threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "token_kl.cpp"
#include "hwy/foreach_target.h"

#include "cuda_backend.h"
#include "dispatch.h"
#include "parallel.h"
#include "rows.h"
#include "simd/vector-inl.h"
#include "status.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE float LaneOf(V x) { return hn::GetLane(x); }

#include "token_kl.inl"

// One vector of tokens; null where absent.
struct Tokens {
  const float* log_prob;
  const float* ref_log_prob;
  const float* old_log_prob;
  const uint8_t* mask;
  const float* upstream;
  float* kl;
  float* d_log_prob;
};

Tokens At(const Tokens& t, int64_t i) {
  const auto advance = [i](auto* p) { return p == nullptr ? nullptr : p + i; };
  return {t.log_prob + i,      t.ref_log_prob + i, advance(t.old_log_prob), advance(t.mask),
          advance(t.upstream), advance(t.kl),      advance(t.d_log_prob)};
}

HWY_INLINE hn::Mask<F32> Counted(const uint8_t* mask) {
  const I32 d;
  const auto bytes = hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, I32>(), mask));
  return hn::RebindMask(kF32, hn::Ne(bytes, hn::Zero(d)));
}

HWY_INLINE void Block(const polka_token_kl_args& a, const Tokens& t) {
  const V log_prob = Load(t.log_prob);
  const V old = t.old_log_prob == nullptr ? log_prob : Load(t.old_log_prob);
  Differentiable<V> k = TokenKl(a.estimator, a.gradient_mode, log_prob, Load(t.ref_log_prob), old,
                                hn::Set(kF32, a.max_log_ratio), hn::Set(kF32, a.k3_max));
  if (t.upstream != nullptr) {
    // No upstream gradient, no gradient: 0 times a k3 that overflowed is 0.
    const V upstream = Load(t.upstream);
    const auto none = hn::Eq(upstream, hn::Zero(kF32));
    k.derivative = hn::IfThenZeroElse(none, hn::Mul(k.derivative, upstream));
  }
  if (t.mask != nullptr) {
    const auto counted = Counted(t.mask);
    k = {hn::IfThenElseZero(counted, k.value), hn::IfThenElseZero(counted, k.derivative)};
  }
  if (t.kl != nullptr) Store(k.value, t.kl);
  if (t.d_log_prob != nullptr) Store(k.derivative, t.d_log_prob);
}

// Fewer tokens than lanes: the same arithmetic on a copy that is padded with zeros.
void Tail(const polka_token_kl_args& a, const Tokens& t, int64_t count) {
  float in[4][kLanes] = {}, out[2][kLanes];
  uint8_t mask[kLanes] = {};
  const auto copy = [count](auto* from, auto* to) -> decltype(from) {
    if (from == nullptr) return nullptr;
    memcpy(to, from, static_cast<size_t>(count) * sizeof *from);
    return to;
  };
  Block(a, {copy(t.log_prob, in[0]), copy(t.ref_log_prob, in[1]), copy(t.old_log_prob, in[2]), copy(t.mask, mask),
            copy(t.upstream, in[3]), out[0], out[1]});
  if (t.kl != nullptr) memcpy(t.kl, out[0], static_cast<size_t>(count) * sizeof(float));
  if (t.d_log_prob != nullptr) memcpy(t.d_log_prob, out[1], static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

void TokenKlBlocks(polka_token_kl_args& a, int32_t threads) {
  a.exec.ran_target = kThisTarget;
  const bool weighted = a.gradient_mode == POLKA_KL_IMPORTANCE_WEIGHTED;
  const Tokens all = {reinterpret_cast<const float*>(a.log_prob),
                      reinterpret_cast<const float*>(a.ref_log_prob),
                      weighted ? reinterpret_cast<const float*>(a.old_log_prob) : nullptr,
                      reinterpret_cast<const uint8_t*>(a.mask),
                      reinterpret_cast<const float*>(a.upstream),
                      reinterpret_cast<float*>(a.kl),
                      reinterpret_cast<float*>(a.d_log_prob)};
  auto body = [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) Block(a, At(all, i));
    if (i < end) Tail(a, At(all, i), end - i);
  };
  constexpr int64_t kTokensPerChunk = 8192;
  ParallelFor(threads, a.count, kTokensPerChunk, body);
}

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

constexpr Kernel<void (*)(polka_token_kl_args&, int32_t)> kTokenKl = {N_SSE4::TokenKlBlocks, N_AVX2::TokenKlBlocks,
                                                                      N_AVX3::TokenKlBlocks};

polka_status CheckTokenKl(const polka_token_kl_args& a) {
  POLKA_TRY(CheckOption(a.gradient_mode, POLKA_KL_DETACHED, "gradient_mode"));
  if (a.estimator < POLKA_KL_K1 || a.estimator > POLKA_KL_K3) {
    return Fail(POLKA_INVALID_ARGUMENT, "estimator: %d is outside [%d, %d]", a.estimator, POLKA_KL_K1, POLKA_KL_K3);
  }
  POLKA_TRY(CheckBound(a.max_log_ratio, "max_log_ratio"));
  POLKA_TRY(CheckBound(a.k3_max, "k3_max"));
  if (a.count < 0) return Fail(POLKA_INVALID_ARGUMENT, "count: %lld is negative", static_cast<long long>(a.count));
  POLKA_TRY(CheckArray(a.log_prob, a.count, 4, "log_prob"));
  POLKA_TRY(CheckArray(a.ref_log_prob, a.count, 4, "ref_log_prob"));
  POLKA_TRY(CheckArray(a.old_log_prob, 0, 4, "old_log_prob"));
  POLKA_TRY(CheckArray(a.upstream, 0, 4, "upstream"));
  POLKA_TRY(CheckArray(a.kl, 0, 4, "kl"));
  return CheckArray(a.d_log_prob, 0, 4, "d_log_prob");
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_token_kl(polka_token_kl_args* args) {
  using namespace polka;
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, "token_kl"));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckExec(args->exec, true));
  POLKA_TRY(CheckTokenKl(*args));
  if (args->count == 0) return POLKA_OK;
  if (!OnCpu(args->exec)) return kCudaBackend.token_kl(args);
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  kTokenKl.For(target)(*args, ThreadsFor(args->exec, args->count * 29));
  return POLKA_OK;
}
#endif  // HWY_ONCE
