// The 16 bytes that a thread moves at a time, and the storage types inside them.
//
// Everything in cuda/ is written once and compiled twice: by nvcc for the device, and by the host
// compiler for the emulator. POLKA_DEVICE marks the functions, as POLKA_MATH does in native/math.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define POLKA_DEVICE __device__ __forceinline__
#else
#define POLKA_DEVICE inline
#endif

namespace polka::cuda {

struct alignas(16) Vec {
  uint32_t word[4];
};

// 16-bit numbers are their bits.
struct Bf16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

// Elements of a Vec.
template <class T>
constexpr int kPerVec = 16 / static_cast<int>(sizeof(T));

template <class To, class From>
POLKA_DEVICE To BitCast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

#if defined(__CUDACC__)
POLKA_DEVICE float ToFloat(Half h) { return __half2float(BitCast<__half>(h.bits)); }
POLKA_DEVICE uint32_t HalvesOf(float low, float high) { return BitCast<uint32_t>(__floats2half2_rn(low, high)); }
POLKA_DEVICE uint32_t Bf16sOf(float low, float high) { return BitCast<uint32_t>(__floats2bfloat162_rn(low, high)); }
POLKA_DEVICE uint32_t MaxHalves(uint32_t a, uint32_t b) {
  return BitCast<uint32_t>(__hmax2(BitCast<__half2>(a), BitCast<__half2>(b)));
}
POLKA_DEVICE uint32_t MaxBf16s(uint32_t a, uint32_t b) {
  return BitCast<uint32_t>(__hmax2(BitCast<__nv_bfloat162>(a), BitCast<__nv_bfloat162>(b)));
}
POLKA_DEVICE uint32_t FunnelShift(uint32_t low, uint32_t high, uint32_t bits) {
  return __funnelshift_r(low, high, bits);
}
#else
// The same by hand: exact conversions up, rounding to nearest even down.
inline float ToFloat(Half h) {
  const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16, exponent = (h.bits >> 10) & 31u;
  const uint32_t mantissa = h.bits & 0x3FFu;
  if (exponent == 0) return copysignf(static_cast<float>(mantissa) * 0x1p-24f, BitCast<float>(sign));
  if (exponent == 31) return BitCast<float>(sign | 0x7F800000u | (mantissa << 13));
  return BitCast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

inline uint16_t HalfOf(float value) {
  const uint32_t bits = BitCast<uint32_t>(value), sign = (bits >> 16) & 0x8000u;
  const float size = fabsf(value);
  if (size != size) return static_cast<uint16_t>(sign | 0x7E00u);
  if (size >= 65520.0f) return static_cast<uint16_t>(sign | 0x7C00u);
  if (size < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint32_t>(nearbyintf(size * 0x1p24f)));
  const uint32_t rounded = (bits & 0x7FFFFFFFu) + 0xFFFu + ((bits >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

inline uint16_t Bf16Of(float value) {
  const uint32_t bits = BitCast<uint32_t>(value);
  if (value != value) return static_cast<uint16_t>((bits | 0x400000u) >> 16);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline uint32_t HalvesOf(float low, float high) { return HalfOf(low) | (static_cast<uint32_t>(HalfOf(high)) << 16); }
inline uint32_t Bf16sOf(float low, float high) { return Bf16Of(low) | (static_cast<uint32_t>(Bf16Of(high)) << 16); }
inline uint32_t MaxHalves(uint32_t a, uint32_t b) {
  const auto at = [](uint32_t w, int i) { return ToFloat(Half{static_cast<uint16_t>(w >> (16 * i))}); };
  return HalvesOf(fmaxf(at(a, 0), at(b, 0)), fmaxf(at(a, 1), at(b, 1)));
}
inline uint32_t MaxBf16s(uint32_t a, uint32_t b) {
  const auto at = [](uint32_t w, int i) { return BitCast<float>(i == 0 ? w << 16 : w & 0xFFFF0000u); };
  return Bf16sOf(fmaxf(at(a, 0), at(b, 0)), fmaxf(at(a, 1), at(b, 1)));
}
inline uint32_t FunnelShift(uint32_t low, uint32_t high, uint32_t bits) {
  return static_cast<uint32_t>(((static_cast<uint64_t>(high) << 32) | low) >> (bits & 31u));
}
#endif

// What a kernel asks of a storage type: vectors of it as floats and back, and the maximum of two
// vectors, where a NaN gives way to a number.
template <class T>
struct Storage;

template <>
struct Storage<float> {
  static constexpr uint32_t kLowest = 0xFF800000u;  // -inf in every place
  POLKA_DEVICE static void Unpack(const Vec& v, float (&y)[4]) {
    for (int i = 0; i < 4; ++i) y[i] = BitCast<float>(v.word[i]);
  }
  POLKA_DEVICE static Vec Pack(const float* y) {
    return {{BitCast<uint32_t>(y[0]), BitCast<uint32_t>(y[1]), BitCast<uint32_t>(y[2]), BitCast<uint32_t>(y[3])}};
  }
  POLKA_DEVICE static uint32_t Max(uint32_t a, uint32_t b) {
    return BitCast<uint32_t>(fmaxf(BitCast<float>(a), BitCast<float>(b)));
  }
  POLKA_DEVICE static float One(float stored) { return stored; }
};

template <>
struct Storage<Bf16> {
  static constexpr uint32_t kLowest = 0xFF80FF80u;
  POLKA_DEVICE static void Unpack(const Vec& v, float (&y)[8]) {
    for (int i = 0; i < 4; ++i) {
      y[2 * i] = BitCast<float>(v.word[i] << 16);
      y[2 * i + 1] = BitCast<float>(v.word[i] & 0xFFFF0000u);
    }
  }
  POLKA_DEVICE static Vec Pack(const float* y) {
    return {{Bf16sOf(y[0], y[1]), Bf16sOf(y[2], y[3]), Bf16sOf(y[4], y[5]), Bf16sOf(y[6], y[7])}};
  }
  POLKA_DEVICE static uint32_t Max(uint32_t a, uint32_t b) { return MaxBf16s(a, b); }
  POLKA_DEVICE static float One(Bf16 stored) { return BitCast<float>(static_cast<uint32_t>(stored.bits) << 16); }
};

template <>
struct Storage<Half> {
  static constexpr uint32_t kLowest = 0xFC00FC00u;
  POLKA_DEVICE static void Unpack(const Vec& v, float (&y)[8]) {
    for (int i = 0; i < 4; ++i) {
      y[2 * i] = ToFloat(Half{static_cast<uint16_t>(v.word[i])});
      y[2 * i + 1] = ToFloat(Half{static_cast<uint16_t>(v.word[i] >> 16)});
    }
  }
  POLKA_DEVICE static Vec Pack(const float* y) {
    return {{HalvesOf(y[0], y[1]), HalvesOf(y[2], y[3]), HalvesOf(y[4], y[5]), HalvesOf(y[6], y[7])}};
  }
  POLKA_DEVICE static uint32_t Max(uint32_t a, uint32_t b) { return MaxHalves(a, b); }
  POLKA_DEVICE static float One(Half stored) { return ToFloat(stored); }
};

template <class T>
POLKA_DEVICE Vec LowestVec() {
  constexpr uint32_t low = Storage<T>::kLowest;
  return {{low, low, low, low}};
}

// The vector with its element `place` replaced. Choices, not an index: registers have none.
template <class T>
POLKA_DEVICE Vec WithElement(const Vec& v, int place, uint32_t bits) {
  Vec result;
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const uint32_t word = v.word[w];
    if constexpr (sizeof(T) == 4) {
      result.word[w] = w == place ? bits : word;
    } else {
      const uint32_t low = 2 * w == place ? (word & 0xFFFF0000u) | bits : word;
      result.word[w] = 2 * w + 1 == place ? (word & 0xFFFFu) | (bits << 16) : low;
    }
  }
  return result;
}

// The bits of one element.
template <class T>
POLKA_DEVICE uint32_t ElementOf(const Vec& v, int place) {
  constexpr int per_word = 4 / static_cast<int>(sizeof(T));
  uint32_t bits = v.word[0];
#pragma unroll
  for (int w = 1; w < 4; ++w) bits = w == place / per_word ? v.word[w] : bits;
  return per_word == 1 ? bits : (place % 2 == 0 ? bits : bits >> 16) & 0xFFFFu;
}

// The 16 bytes that start `shift` bytes (0 .. 15, a multiple of 2) into `low`, continued in `high`.
POLKA_DEVICE Vec ShiftBytes(const Vec& low, const Vec& high, uint32_t shift) {
  const bool two = (shift & 8u) != 0, one = (shift & 4u) != 0;
  uint32_t a[6], b[5];
  for (int i = 0; i < 6; ++i) {
    const uint32_t near = i < 4 ? low.word[i & 3] : high.word[i & 3];
    a[i] = two ? (i + 2 < 4 ? low.word[(i + 2) & 3] : high.word[(i + 2) & 3]) : near;
  }
  for (int i = 0; i < 5; ++i) b[i] = one ? a[i + 1] : a[i];
  Vec v;
  for (int i = 0; i < 4; ++i) v.word[i] = FunnelShift(b[i], b[i + 1], (shift & 3u) * 8u);
  return v;
}

}  // namespace polka::cuda
