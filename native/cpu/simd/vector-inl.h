// Vectors of f32 over any storage type: loads, stores, 2^x and tanh. Included once per SIMD target.
#if defined(POLKA_SIMD_VECTOR_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef POLKA_SIMD_VECTOR_INL_H
#undef POLKA_SIMD_VECTOR_INL_H
#else
#define POLKA_SIMD_VECTOR_INL_H
#endif

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "polka.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using V = hn::Vec<F32>;

// What formulas ask of a number type beyond Highway's own names.
HWY_INLINE V Expm1(V x) { return hn::Expm1(F32(), x); }
HWY_INLINE V Log1p(V x) { return hn::Log1p(F32(), x); }
HWY_INLINE V Constant(V, double value) { return hn::Set(F32(), static_cast<float>(value)); }

// Highway's exp is exact to 1 ulp between -inf and 104 and undefined beyond, NaN included.
HWY_INLINE V Exp(V x) {
  const V e = hn::Exp(F32(), hn::Min(x, hn::Set(F32(), 104.0f)));
  return hn::IfThenElse(hn::IsNaN(x), x, e);
}

#include "number.inl"

constexpr int32_t kThisTarget = HWY_TARGET == HWY_AVX3   ? POLKA_TARGET_AVX3
                                : HWY_TARGET == HWY_AVX2 ? POLKA_TARGET_AVX2
                                                         : POLKA_TARGET_SSE4;

using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using F16 = hn::Rebind<hwy::float16_t, F32>;

constexpr F32 kF32;
constexpr int64_t kLanes = HWY_LANES(float);
// Columns that are summed side by side: column j of a tile always goes to lane j mod kBlock.
constexpr int64_t kUnroll = 4;
constexpr int64_t kBlock = kUnroll * kLanes;

// Storage types. bf16 and f16 are their bits.
struct Bf16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

HWY_INLINE V Load(const float* p) { return hn::LoadU(kF32, p); }

HWY_INLINE V Load(const Bf16* p) {
  const auto bits = hn::PromoteTo(U32(), hn::LoadU(U16(), &p->bits));
  return hn::BitCast(kF32, hn::ShiftLeft<16>(bits));
}

// Without the conversion instructions Highway takes infinities and NaN for numbers.
HWY_INLINE V Load(const Half* p) {
  if constexpr (kThisTarget != POLKA_TARGET_SSE4) {
    return hn::PromoteTo(kF32, hn::LoadU(F16(), reinterpret_cast<const hwy::float16_t*>(p)));
  }
  const U32 d;
  const auto bits = hn::PromoteTo(d, hn::LoadU(U16(), &p->bits));
  const auto magnitude = hn::And(bits, hn::Set(d, 0x7FFFu));
  const auto exponent = hn::And(bits, hn::Set(d, 0x7C00u));
  const auto moved = hn::ShiftLeft<13>(magnitude);
  const auto number = moved + hn::Set(d, 112u << 23);     // From bias 15 to bias 127.
  const auto no_number = moved + hn::Set(d, 224u << 23);  // From the largest exponent to the largest.
  const V tiny = hn::Mul(hn::ConvertTo(kF32, hn::BitCast(I32(), magnitude)), hn::Set(kF32, 0x1p-24f));
  const auto large = hn::IfThenElse(hn::Eq(exponent, hn::Set(d, 0x7C00u)), no_number, number);
  const auto value = hn::IfThenElse(hn::Eq(exponent, hn::Zero(d)), hn::BitCast(d, tiny), large);
  return hn::BitCast(kF32, hn::Or(value, hn::ShiftLeft<16>(hn::Xor(bits, magnitude))));
}

HWY_INLINE void Store(V v, float* p) { hn::StoreU(v, kF32, p); }

// To nearest, ties to even; a NaN stays a NaN.
HWY_INLINE void Store(V v, Bf16* p) {
  const U32 d;
  const auto bits = hn::BitCast(d, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  const auto rounded = bits + hn::Set(d, 0x7FFFu) + odd;
  const auto quiet = hn::Or(bits, hn::Set(d, 0x400000u));
  const auto nan = hn::RebindMask(d, hn::IsNaN(v));
  const auto high = hn::ShiftRight<16>(hn::IfThenElse(nan, quiet, rounded));
  hn::StoreU(hn::TruncateTo(U16(), high), U16(), &p->bits);
}

// The same; beyond 65504 by more than half a step lies infinity. Without the conversion instructions
// Highway cuts off, and makes numbers of infinities and NaN.
HWY_INLINE void Store(V v, Half* p) {
  if constexpr (kThisTarget != POLKA_TARGET_SSE4) {
    hn::StoreU(hn::DemoteTo(F16(), v), F16(), reinterpret_cast<hwy::float16_t*>(p));
    return;
  }
  const U32 d;
  const I32 di;
  const auto bits = hn::BitCast(d, v);
  const auto magnitude = hn::And(bits, hn::Set(d, 0x7FFFFFFFu));
  const auto ordered = hn::BitCast(di, magnitude);
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 1u));
  const auto number = hn::ShiftRight<13>(magnitude - hn::Set(d, 112u << 23) + hn::Set(d, 0xFFFu) + odd);
  // Below 2^-14 the steps are those of a float near 1/2: the addition rounds.
  const V half = hn::Set(kF32, 0.5f);
  const auto tiny = hn::BitCast(d, hn::Add(hn::BitCast(kF32, magnitude), half)) - hn::BitCast(d, half);
  const auto is_tiny = hn::RebindMask(d, hn::Lt(ordered, hn::Set(di, 113 << 23)));
  const auto is_huge = hn::RebindMask(d, hn::Gt(ordered, hn::Set(di, (143 << 23) - 1)));
  const auto nan = hn::RebindMask(d, hn::IsNaN(v));
  const auto huge = hn::IfThenElse(nan, hn::Set(d, 0x7E00u), hn::Set(d, 0x7C00u));
  const auto value = hn::IfThenElse(is_tiny, tiny, hn::IfThenElse(is_huge, huge, number));
  const auto sign = hn::ShiftRight<16>(hn::Xor(bits, magnitude));
  hn::StoreU(hn::TruncateTo(U16(), hn::Or(value, sign)), U16(), &p->bits);
}

HWY_INLINE float NegativeInfinity(float) { return -INFINITY; }
HWY_INLINE Bf16 NegativeInfinity(Bf16) { return {0xFF80}; }
HWY_INLINE Half NegativeInfinity(Half) { return {0xFC00}; }

// One stored value in every lane.
template <class T>
HWY_INLINE V LoadOne(const T* p) {
  T lanes[kLanes];
  for (T& lane : lanes) lane = *p;
  return Load(lanes);
}

// A value of the storage type for one float, by the same rounding.
template <class T>
HWY_INLINE void StoreOne(float value, T* p) {
  T lanes[kLanes];
  Store(hn::Set(kF32, value), lanes);
  *p = lanes[0];
}

// 2^x for x <= 128. -inf gives 0, NaN gives NaN, relative error under 2e-7.
// x = n + f; 2^f by a degree-5 polynomial that is exact at f = 0.
HWY_INLINE V Exp2(V x) {
  const auto c5 = hn::Set(kF32, 1.32647e-3f);
  const auto c4 = hn::Set(kF32, 9.67151e-3f);
  const auto c3 = hn::Set(kF32, 5.550734e-2f);
  const auto c2 = hn::Set(kF32, 2.4022242e-1f);
  const auto c1 = hn::Set(kF32, 6.9314698e-1f);
  const auto one = hn::Set(kF32, 1.0f);
#if HWY_TARGET == HWY_AVX3
  // Fraction to nearest in one instruction; scalef floors its exponent, so n is taken exactly.
  const V f{_mm512_reduce_ps(x.raw, 0)};
  const V n = hn::Sub(x, f);
#else
  // Below -127 the result is 0 here. The constant stands first so that a NaN in x survives.
  const V bounded = hn::Max(hn::Set(kF32, -127.0f), x);
  const V n = hn::Round(bounded);
  const V f = hn::Sub(bounded, n);
#endif
  V p = hn::MulAdd(c5, f, c4);
  p = hn::MulAdd(p, f, c3);
  p = hn::MulAdd(p, f, c2);
  p = hn::MulAdd(p, f, c1);
  p = hn::MulAdd(p, f, one);
#if HWY_TARGET == HWY_AVX3
  return V{_mm512_scalef_ps(p.raw, n.raw)};
#else
  const I32 di;
  const auto exponent = hn::ConvertTo(di, n) + hn::Set(di, 127);
  return hn::Mul(p, hn::BitCast(kF32, hn::ShiftLeft<23>(exponent)));
#endif
}

// tanh(u) to about 1 ulp of 1: a polynomial near 0, 1 - 2 / (e^2u + 1) elsewhere.
HWY_INLINE V Tanh(V u) {
  const V a = hn::Abs(u);
  const V w = hn::Mul(u, u);
  V p = hn::Set(kF32, -5.7170452e-3f);
  p = hn::MulAdd(p, w, hn::Set(kF32, 2.0650588e-2f));
  p = hn::MulAdd(p, w, hn::Set(kF32, -5.3743497e-2f));
  p = hn::MulAdd(p, w, hn::Set(kF32, 1.3331491e-1f));
  p = hn::MulAdd(p, w, hn::Set(kF32, -3.3333284e-1f));
  const V near = hn::MulAdd(hn::Mul(p, w), u, u);
  const V bounded = hn::Min(hn::Set(kF32, 20.0f), a);
  const V q = Exp2(hn::Mul(bounded, hn::Set(kF32, 2.88539008f)));
  const V one = hn::Set(kF32, 1.0f);
  const V far = hn::CopySign(hn::Sub(one, hn::Div(hn::Set(kF32, 2.0f), hn::Add(q, one))), u);
  return hn::IfThenElse(hn::Lt(a, hn::Set(kF32, 0.625f)), near, far);
}

// The power-of-two form of exp((y - base) / T): 2^(y k - base k). The product base k is rounded once
// for the whole tile; `delta` is what that adds to every exponent, taken out of the sums afterwards.
struct Exponent {
  float base;
  float k;   // log2(e) / T
  float bk;  // base k, rounded
  float delta;
  bool direct;

  // Beyond 2^24 a rounding of bk is worth more than a factor of 2, and soon more than f32 holds.
  Exponent(float base_, float temperature)
      : base(base_),
        k(1.44269504f / temperature),
        bk(base_ * k),
        delta(0),
        direct(!(fabsf(bk) < 0x1p24f) && isfinite(base_)) {
#if HWY_TARGET != HWY_SSE4
    if (!direct) delta = fmaf(base, k, -bk);
#else
    if (!isfinite(base)) delta = NAN;
#endif
  }

  // Without a fused multiply-add the rounding of y k would show: subtract first, exactly near base.
  HWY_INLINE V operator()(V y) const {
#if HWY_TARGET != HWY_SSE4
    if (HWY_LIKELY(!direct)) return hn::MulSub(y, hn::Set(kF32, k), hn::Set(kF32, bk));
#endif
    return hn::Mul(hn::Sub(y, hn::Set(kF32, base)), hn::Set(kF32, k));
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#endif
