// One row of logits, tile by tile: statistics forward, gradients backward. Included once per SIMD
// target by every operation that reads logits, so that all of them give the same bits.
//
// A tile is kTileColumns columns whatever the row's address, its length or the number of threads.
// Its maximum is found first; the exponentials are summed second, while the tile is in the
// first-level cache. 16-bit, softcapped or masked logits become f32 in the first pass, in `scratch`.
#if defined(POLKA_SIMD_SOFTMAX_ROW_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef POLKA_SIMD_SOFTMAX_ROW_INL_H
#undef POLKA_SIMD_SOFTMAX_ROW_INL_H
#else
#define POLKA_SIMD_SOFTMAX_ROW_INL_H
#endif

#include "simd/vector-inl.h"
#include "softmax_row.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

#include "softmax.inl"

// Columns [begin, begin + count) of a row as f32, after softcap and keep-mask.
struct Tile {
  const float* y;
  int64_t begin;
  int64_t count;
  float max;
};

struct TileStats {
  SoftmaxStats stats;
  SoftmaxShape shape;
};

HWY_INLINE int64_t TargetInTile(const SoftmaxRow& row, int64_t begin, int64_t count) {
  const int64_t t = row.target - begin;
  return t >= 0 && t < count ? t : -1;
}

// Calls body(column, vector, lane group) over `count` values in blocks; the last block is padded
// with -inf.
template <class T, class Body>
HWY_INLINE void ForEachVector(const T* p, int64_t count, Body body) {
  int64_t j = 0;
  for (; j + kBlock <= count; j += kBlock) {
    for (int u = 0; u < kUnroll; ++u) body(j + u * kLanes, Load(p + j + u * kLanes), u);
  }
  if (j < count) {
    T last[kBlock];
    for (int64_t i = 0; i < kBlock; ++i) last[i] = j + i < count ? p[j + i] : NegativeInfinity(T());
    for (int u = 0; u < kUnroll; ++u) body(j + u * kLanes, Load(last + u * kLanes), u);
  }
}

HWY_INLINE float MaxOf(const V (&m)[kUnroll]) {
  return hn::GetLane(hn::MaxOfLanes(kF32, hn::Max(hn::Max(m[0], m[1]), hn::Max(m[2], m[3]))));
}

HWY_INLINE float SumOf(const V (&s)[kUnroll]) {
  return hn::GetLane(hn::SumOfLanes(kF32, (s[0] + s[1]) + (s[2] + s[3])));
}

// An infinite logit is a mask (-inf) or a fault (+inf), not a large number: it stays infinite.
HWY_INLINE V Softcap(V z, float cap) {
  const V y = hn::Mul(hn::Set(kF32, cap), Tanh(hn::Div(z, hn::Set(kF32, cap))));
  return hn::IfThenElse(hn::Eq(hn::Abs(z), hn::Set(kF32, INFINITY)), z, y);
}

// Keep bits of kLanes columns from column j on, a multiple of kLanes.
HWY_INLINE hn::Mask<F32> KeepBits(const uint8_t* keep, int64_t j) {
  uint8_t bits[8] = {0};
  memcpy(bits, keep + j / 8, kLanes < 8 ? 1 : kLanes / 8);
  if (kLanes < 8) bits[0] = static_cast<uint8_t>(bits[0] >> (j % 8));
  return hn::LoadMaskBits(kF32, bits);
}

// The target's y, kept whatever the mask says.
template <class T>
HWY_INLINE float TargetLogit(const SoftmaxRow& row) {
  const V z = LoadOne(reinterpret_cast<const T*>(row.address) + row.target);
  return hn::GetLane(row.softcap != 0 ? Softcap(z, row.softcap) : z);
}

inline float TargetLogit(const SoftmaxRow& row) {
  switch (row.dtype) {
    case POLKA_BF16:
      return TargetLogit<Bf16>(row);
    case POLKA_F16:
      return TargetLogit<Half>(row);
    default:
      return TargetLogit<float>(row);
  }
}

template <class T>
HWY_INLINE Tile LoadTile(const SoftmaxRow& row, int64_t begin, float* scratch) {
  const int64_t left = row.columns - begin;
  const int64_t count = left < kTileColumns ? left : kTileColumns;
  const T* z = reinterpret_cast<const T*>(row.address) + begin;
  const V low = hn::Set(kF32, -INFINITY);
  V m[kUnroll] = {low, low, low, low};
  if (row.softcap == 0 && row.keep == nullptr) {
    if (sizeof(T) == sizeof(float)) {
      ForEachVector(z, count, [&](int64_t, V v, int u) HWY_ATTR { m[u] = hn::Max(m[u], v); });
      return {reinterpret_cast<const float*>(z), begin, count, MaxOf(m)};
    }
    ForEachVector(z, count, [&](int64_t j, V v, int u) HWY_ATTR {
      hn::Store(v, kF32, scratch + j);
      m[u] = hn::Max(m[u], v);
    });
    return {scratch, begin, count, MaxOf(m)};
  }
  // The bits of the last, partial block are read from a copy: none beyond the last column is touched.
  const int64_t full = count / kBlock * kBlock;
  uint8_t last_bits[kBlock / 8 + 8] = {0};
  if (row.keep != nullptr && full < count) {
    memcpy(last_bits, row.keep + (begin + full) / 8, static_cast<size_t>((count - full + 7) / 8));
  }
  ForEachVector(z, count, [&](int64_t j, V v, int u) HWY_ATTR {
    if (row.softcap != 0) v = Softcap(v, row.softcap);
    if (row.keep != nullptr) {
      const auto kept = j < full ? KeepBits(row.keep, begin + j) : KeepBits(last_bits, j - full);
      v = hn::IfThenElse(kept, v, low);
    }
    hn::Store(v, kF32, scratch + j);
    m[u] = hn::Max(m[u], v);
  });
  float max = MaxOf(m);
  const int64_t t = TargetInTile(row, begin, count);
  if (t >= 0 && row.keep != nullptr) {
    scratch[t] = TargetLogit<T>(row);
    if (scratch[t] > max) max = scratch[t];
  }
  return {scratch, begin, count, max};
}

inline Tile LoadTile(const SoftmaxRow& row, int64_t begin, float* scratch) {
  switch (row.dtype) {
    case POLKA_BF16:
      return LoadTile<Bf16>(row, begin, scratch);
    case POLKA_F16:
      return LoadTile<Half>(row, begin, scratch);
    default:
      return LoadTile<float>(row, begin, scratch);
  }
}

struct ExpSums {
  float rest, moment, square;
};

// Sums of the tile's exponentials without column `skip` (-1: none is left out). Brings the bytes at
// `next` nearer meanwhile: the tile after this one.
template <bool kMoment, bool kSquare>
HWY_INLINE ExpSums SumExponentials(const Tile& tile, int64_t skip, const Exponent& exponent, const char* next) {
  const V zero = hn::Zero(kF32);
  const V low = hn::Set(kF32, -200.0f);  // e is 0 there; keeps 0 * -inf out of the moment
  V rest[kUnroll] = {zero, zero, zero, zero};
  V moment[kUnroll] = {zero, zero, zero, zero};
  V square[kUnroll] = {zero, zero, zero, zero};
  const auto add = [&](V y, int u) HWY_ATTR {
    const V x2 = exponent(y);
    const V e = Exp2(x2);
    rest[u] = hn::Add(rest[u], e);
    if (kMoment) moment[u] = hn::MulAdd(e, hn::Max(low, x2), moment[u]);
    if (kSquare) square[u] = hn::MulAdd(e, e, square[u]);
  };
  const int64_t full = tile.count / kBlock * kBlock;
  const int64_t skip_block = skip < 0 ? -1 : skip / kBlock * kBlock;
  // Every kRun blocks the running sums are put aside: a lane that adds hundreds of terms one by one
  // loses more digits than its terms do.
  V rest_aside[kUnroll] = {zero, zero, zero, zero};
  V moment_aside[kUnroll] = {zero, zero, zero, zero};
  V square_aside[kUnroll] = {zero, zero, zero, zero};
  const auto put_aside = [&]() HWY_ATTR {
    for (int u = 0; u < kUnroll; ++u) {
      rest_aside[u] = hn::Add(rest_aside[u], rest[u]);
      rest[u] = zero;
      if (kMoment) {
        moment_aside[u] = hn::Add(moment_aside[u], moment[u]);
        moment[u] = zero;
      }
      if (kSquare) {
        square_aside[u] = hn::Add(square_aside[u], square[u]);
        square[u] = zero;
      }
    }
  };
  constexpr int64_t kRun = 16;
  for (int64_t begin = 0; begin < full; begin += kRun * kBlock) {
    const int64_t end = begin + kRun * kBlock < full ? begin + kRun * kBlock : full;
    for (int64_t j = begin; j < end; j += kBlock) {
      if (j == skip_block) continue;
      for (int u = 0; u < kUnroll; ++u) {
        if (next != nullptr) hwy::Prefetch(next + (j + u * kLanes) * static_cast<int64_t>(sizeof(float)));
        add(Load(tile.y + j + u * kLanes), u);
      }
    }
    put_aside();
  }
  // The target's block and the last, partial one, from a copy with -inf in the columns left out.
  const auto add_copy = [&](int64_t j) HWY_ATTR {
    float copy[kBlock];
    for (int64_t i = 0; i < kBlock; ++i) {
      copy[i] = j + i < tile.count && j + i != skip ? tile.y[j + i] : -INFINITY;
    }
    for (int u = 0; u < kUnroll; ++u) add(Load(copy + u * kLanes), u);
  };
  if (skip_block >= 0 && skip_block < full) add_copy(skip_block);
  if (full < tile.count) add_copy(full);
  put_aside();

  const float ln2 = 0.693147181f;
  const float c = exp2f(-exponent.delta);
  const float sum = SumOf(rest_aside);
  return {c * sum, kMoment ? c * ln2 * fmaf(-exponent.delta, sum, SumOf(moment_aside)) : 0,
          kSquare ? c * c * SumOf(square_aside) : 0};
}

// Counts the finite columns, sums them, finds the two largest. The sum is taken twice, the second
// time relative to the mean of the first, so that a common offset costs no digits.
HWY_INLINE SoftmaxShape ShapeOf(const Tile& tile) {
  const V zero = hn::Zero(kF32);
  const V low = hn::Set(kF32, -INFINITY);
  V count[kUnroll] = {zero, zero, zero, zero};
  V sum[kUnroll] = {zero, zero, zero, zero};
  V top1[kUnroll] = {low, low, low, low};
  V top2[kUnroll] = {low, low, low, low};
  ForEachVector(tile.y, tile.count, [&](int64_t, V y, int u) HWY_ATTR {
    const auto finite = hn::Gt(y, low);
    count[u] = hn::Add(count[u], hn::IfThenElseZero(finite, hn::Set(kF32, 1.0f)));
    sum[u] = hn::Add(sum[u], hn::IfThenElseZero(finite, y));
    top2[u] = hn::Max(top2[u], hn::Min(top1[u], y));
    top1[u] = hn::Max(top1[u], y);
  });
  SoftmaxShape shape = EmptyShape();
  float largest[kBlock], second[kBlock];
  for (int u = 0; u < kUnroll; ++u) {
    hn::StoreU(top1[u], kF32, largest + u * kLanes);
    hn::StoreU(top2[u], kF32, second + u * kLanes);
  }
  for (int64_t i = 0; i < kBlock; ++i) shape = Merge(shape, SoftmaxShape{0, 0, 0, largest[i], second[i]});

  shape.finite = SumOf(count);
  shape.shift = shape.finite == 0 ? 0 : SumOf(sum) / shape.finite;
  for (V& s : sum) s = zero;
  ForEachVector(tile.y, tile.count, [&](int64_t, V y, int u) HWY_ATTR {
    sum[u] = hn::Add(sum[u], hn::IfThenElseZero(hn::Gt(y, low), hn::Sub(y, hn::Set(kF32, shape.shift))));
  });
  shape.finite_sum = SumOf(sum);
  return shape;
}

// Statistics of a tile of the row.
inline TileStats StatsOfTile(const SoftmaxRow& row, const Tile& tile, const SoftmaxWants& wants) {
  const int64_t skip = TargetInTile(row, tile.begin, tile.count);
  // With nothing finite in the tile, sums are 0, or NaN where it holds a NaN.
  const float base = tile.max == -INFINITY ? 0 : tile.max;
  const Exponent exponent(base, row.temperature);
  const char* next = row.dtype == POLKA_F32 && tile.begin + 2 * kTileColumns <= row.columns
                         ? reinterpret_cast<const char*>(row.address + (tile.begin + kTileColumns) * sizeof(float))
                         : nullptr;
  const ExpSums sums = wants.square    ? SumExponentials<true, true>(tile, skip, exponent, next)
                       : wants.entropy ? SumExponentials<true, false>(tile, skip, exponent, next)
                                       : SumExponentials<false, false>(tile, skip, exponent, next);
  TileStats result = {{tile.max, sums.rest, sums.moment, sums.square, 0}, EmptyShape()};
  if (row.second_temperature != 0) {
    const Exponent second(base, row.second_temperature);
    result.stats.second = SumExponentials<false, false>(tile, skip, second, nullptr).rest;
  }
  if (wants.shape) result.shape = ShapeOf(tile);
  return result;
}

// Statistics of tile `index` of the row.
inline TileStats ComputeTile(const SoftmaxRow& row, int64_t index, const SoftmaxWants& wants) {
  HWY_ALIGN float scratch[kTileColumns];
  return StatsOfTile(row, LoadTile(row, index * kTileColumns, scratch), wants);
}

inline TileStats MergeTiles(const SoftmaxRow& row, const TileStats& a, const TileStats& b) {
  const float inv_second = row.second_temperature == 0 ? 0 : 1 / row.second_temperature;
  return {Merge(a.stats, b.stats, 1 / row.temperature, inv_second), Merge(a.shape, b.shape)};
}

inline TileStats EmptyTile() { return {EmptyStats(), EmptyShape()}; }

// From the merged statistics of a whole row to its results.
inline SoftmaxOutputs FinishRow(const SoftmaxRow& row, const TileStats& total, const SoftmaxWants& wants) {
  const bool has_target = row.target >= 0;
  const float y = has_target ? TargetLogit(row) : -INFINITY;
  return FinishSoftmax(total.stats, total.shape, has_target, y, row.temperature, row.second_temperature, wants);
}

inline SoftmaxOutputs ForwardRow(const SoftmaxRow& row, const SoftmaxWants& wants) {
  TileStats total = EmptyTile();
  const int64_t tiles = TileCount(row.columns);
  for (int64_t i = 0; i < tiles; ++i) total = MergeTiles(row, total, ComputeTile(row, i, wants));
  return FinishRow(row, total, wants);
}

template <bool kGeneral, class T>
HWY_INLINE void WriteGradient(const SoftmaxRow& row, const Tile& tile, const Exponent& exponent,
                              const SoftmaxGradient& g, T* out) {
  const V constant = hn::Set(kF32, g.constant);
  const V slope = hn::Set(kF32, g.slope);
  const V low = hn::Set(kF32, -200.0f);
  const auto gradient = [&](V y) HWY_ATTR {
    const V x2 = exponent(y);
    const V e = Exp2(x2);
    if (!kGeneral) return hn::Mul(e, constant);
    V d = GradientElement(e, hn::Max(low, x2), constant, slope);
    const auto finite = hn::Gt(y, hn::Set(kF32, -INFINITY));
    d = hn::Add(d, hn::IfThenElseZero(finite, hn::Set(kF32, g.uniform)));
    if (row.softcap != 0) {
      // A masked column has d = 0, or NaN with the rest of a broken row.
      const V t = hn::IfThenElseZero(finite, hn::Div(y, hn::Set(kF32, row.softcap)));
      d = hn::Mul(d, hn::NegMulAdd(t, t, hn::Set(kF32, 1.0f)));
    }
    return d;
  };
  int64_t j = 0;
  for (; j + kBlock <= tile.count; j += kBlock) {
    for (int u = 0; u < kUnroll; ++u) {
      Store(gradient(Load(tile.y + j + u * kLanes)), out + j + u * kLanes);
    }
  }
  if (j < tile.count) {
    float last[kBlock];
    T written[kBlock];
    for (int64_t i = 0; i < kBlock; ++i) last[i] = j + i < tile.count ? tile.y[j + i] : -INFINITY;
    for (int u = 0; u < kUnroll; ++u) Store(gradient(Load(last + u * kLanes)), written + u * kLanes);
    memcpy(out + j, written, static_cast<size_t>(tile.count - j) * sizeof(T));
  }
}

template <class T>
HWY_INLINE void GradientTile(const SoftmaxRow& row, int64_t index, const SoftmaxUpstream& up, T* out_row) {
  HWY_ALIGN float scratch[kTileColumns];
  const Tile tile = LoadTile(row, index * kTileColumns, scratch);
  const Exponent exponent(up.max, row.temperature);
  const int64_t t = TargetInTile(row, tile.begin, tile.count);
  // Read before this tile is written; in place, other tiles may be gradients already.
  const float y = t >= 0 ? TargetLogit(row) : 0;
  const float scale = up.scale / row.temperature;
  const float bias = fmaf(exponent.delta, 0.693147181f, up.log_sum);
  const SoftmaxGradient g =
      GradientCoefficients(up.d_log_prob, up.d_entropy, up.d_self_certainty, up.entropy, up.finite, bias, scale);
  T* out = out_row + tile.begin;
  if (g.slope == 0 && g.uniform == 0 && row.softcap == 0) {
    WriteGradient<false>(row, tile, exponent, g, out);
  } else {
    WriteGradient<true>(row, tile, exponent, g, out);
  }
  if (t >= 0 && y != -INFINITY) {
    const float log_prob = LogProbability(y, up.max, up.log_sum, row.temperature);
    float d = TargetGradient(log_prob, up.d_log_prob, up.d_entropy, up.d_self_certainty, up.entropy, up.finite, scale);
    if (row.softcap != 0) d *= 1 - (y / row.softcap) * (y / row.softcap);
    StoreOne(d, out + t);
  }
}

// Gradient of tile `index`, written to the row at `out` of type `out_dtype`.
inline void GradientTile(const SoftmaxRow& row, int64_t index, const SoftmaxUpstream& up, uint64_t out,
                         int32_t out_dtype) {
  switch (out_dtype) {
    case POLKA_BF16:
      return GradientTile(row, index, up, reinterpret_cast<Bf16*>(out));
    case POLKA_F16:
      return GradientTile(row, index, up, reinterpret_cast<Half*>(out));
    default:
      return GradientTile(row, index, up, reinterpret_cast<float*>(out));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#endif
