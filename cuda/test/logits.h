// Matrices of test logits in each storage type, and the layouts that they come in.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <random>
#include <vector>

#include "polka.h"

namespace polka::cuda::test {

inline int64_t SizeOf(int32_t dtype) { return dtype == POLKA_F32 ? 4 : 2; }

// Half of the distance between neighbouring numbers of the type near x.
inline double HalfUlp(int32_t dtype, double x) {
  const int bits = dtype == POLKA_F32 ? 24 : dtype == POLKA_BF16 ? 8 : 11;
  const int lowest = dtype == POLKA_F16 ? -14 : -126;
  int exponent;
  frexp(x, &exponent);
  return ldexp(0.5, (exponent - 1 < lowest ? lowest : exponent - 1) - (bits - 1));
}

// To nearest, ties to even, by arithmetic in f64: no bit of it is shared with the kernels.
inline double RoundTo(int32_t dtype, double x) {
  if (dtype == POLKA_F32) return static_cast<float>(x);
  if (x == 0 || !isfinite(x)) return x;
  const double ulp = 2 * HalfUlp(dtype, x);
  const double r = nearbyint(x / ulp) * ulp;
  if (dtype == POLKA_F16 && fabs(r) > 65504) return copysign(INFINITY, r);
  return r;
}

// The bytes of an exactly representable number.
inline void Encode(int32_t dtype, double x, unsigned char* to) {
  const float f = static_cast<float>(x);
  if (dtype == POLKA_F32) {
    memcpy(to, &f, 4);
  } else if (dtype == POLKA_BF16) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    const uint16_t high = static_cast<uint16_t>(bits >> 16);
    memcpy(to, &high, 2);
  } else {
    const _Float16 h = static_cast<_Float16>(f);
    memcpy(to, &h, 2);
  }
}

inline double Decode(int32_t dtype, const unsigned char* from) {
  if (dtype == POLKA_F32) {
    float f;
    memcpy(&f, from, 4);
    return f;
  }
  if (dtype == POLKA_BF16) {
    uint16_t high;
    memcpy(&high, from, 2);
    const uint32_t bits = static_cast<uint32_t>(high) << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
  }
  _Float16 h;
  memcpy(&h, from, 2);
  return static_cast<float>(h);
}

struct Layout {
  int32_t dtype = POLKA_F32;
  int64_t rows = 1, cols = 1;
  int64_t row_stride = 0;     // 0 = cols
  uint64_t misalignment = 0;  // bytes past a 256-byte boundary
  int64_t outer_rows = 1, outer_stride = 0;
};

// Values of a [rows, cols] matrix as the kernel will see them, rounded to the type.
class Logits {
 public:
  Logits(const Layout& layout, uint32_t seed, double spread = 3, double offset = 0) : layout_(layout) {
    if (layout_.row_stride == 0) layout_.row_stride = layout_.cols;
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0, spread);
    values_.resize(static_cast<size_t>(layout_.rows * layout_.cols));
    for (double& v : values_) v = RoundTo(layout_.dtype, offset + normal(random));
  }

  const Layout& layout() const { return layout_; }
  double& At(int64_t r, int64_t c) { return values_[static_cast<size_t>(r * layout_.cols + c)]; }
  double At(int64_t r, int64_t c) const { return values_[static_cast<size_t>(r * layout_.cols + c)]; }
  void Set(int64_t r, int64_t c, double v) { At(r, c) = RoundTo(layout_.dtype, v); }

  int64_t Element(int64_t r, int64_t c) const {
    const int64_t inner = layout_.rows / layout_.outer_rows;
    return (r / inner) * layout_.outer_stride + (r % inner) * layout_.row_stride + c;
  }
  int64_t Elements() const { return layout_.rows == 0 ? 0 : Element(layout_.rows - 1, layout_.cols - 1) + 1; }

  // The bytes in memory; what lies between rows is NaN.
  std::vector<unsigned char> Bytes() const {
    const int64_t size = SizeOf(layout_.dtype);
    std::vector<unsigned char> bytes(static_cast<size_t>(Elements() * size), 0xFF);
    for (int64_t r = 0; r < layout_.rows; ++r) {
      for (int64_t c = 0; c < layout_.cols; ++c) {
        Encode(layout_.dtype, At(r, c), bytes.data() + Element(r, c) * size);
      }
    }
    return bytes;
  }

  polka_matrix MatrixAt(uint64_t address) const {
    return {address,
            layout_.rows,
            layout_.cols,
            layout_.row_stride,
            layout_.outer_rows,
            layout_.outer_stride,
            layout_.dtype,
            0};
  }

 private:
  Layout layout_;
  std::vector<double> values_;
};

// Element of a matrix in memory that was fetched as bytes.
inline double ElementAt(const std::vector<unsigned char>& bytes, int32_t dtype, int64_t element) {
  return Decode(dtype, bytes.data() + element * SizeOf(dtype));
}

}  // namespace polka::cuda::test
