// Rows and tiles. A tile is 4 KB of a row, 8 vectors of 16 bytes for each lane of one warp. Column j
// of the tile always belongs to lane (j / per-vector) mod 32, whatever the row's address: where rows
// are not aligned to 16 bytes, the loads fetch the two aligned vectors that hold the wanted bytes and
// shift them together, and the stores take their left part from the neighbouring lane. So all memory
// traffic is 16 bytes wide but for the first and the last few columns of a row, and no sum knows of it.
#pragma once

#include "context.cuh"
#include "polka.h"

namespace polka::cuda {

constexpr int kTileBytes = 4096;
constexpr int kTileVectors = kTileBytes / 16;
constexpr int kVectorsPerLane = kTileVectors / kWarpLanes;

template <class T>
constexpr int kTileColumns = kTileBytes / static_cast<int>(sizeof(T));

template <class T>
constexpr int64_t TileCount(int64_t columns) {
  return (columns + kTileColumns<T> - 1) / kTileColumns<T>;
}

// The vectors of one lane.
struct TileVectors {
  Vec v[kVectorsPerLane];
};

// Columns [0, columns) of a row, which are all that may be touched.
template <class T>
struct RowSpan {
  T* data;
  int64_t columns;

  // Bytes from the last 16-byte boundary to column 0.
  POLKA_DEVICE uint32_t Shift() const { return static_cast<uint32_t>(reinterpret_cast<uint64_t>(data) & 15u); }
};

// First column of a lane's vector i.
template <class T>
POLKA_DEVICE int64_t ColumnOf(int64_t tile_begin, int i, int lane) {
  return tile_begin + (i * kWarpLanes + lane) * kPerVec<T>;
}

// A vector of which only the columns inside the row are read, one by one; -inf elsewhere.
template <class T, class Context>
POLKA_DEVICE Vec LoadEdge(Context& ctx, const RowSpan<const T>& row, int64_t column) {
  Vec v = LowestVec<T>();
#pragma unroll
  for (int e = 0; e < kPerVec<T>; ++e) {
    if (column + e < row.columns) {
      if constexpr (sizeof(T) == 4) {
        v = WithElement<T>(v, e, BitCast<uint32_t>(ctx.Load(row.data + column + e)));
      } else {
        v = WithElement<T>(v, e, ctx.Load(row.data + column + e).bits);
      }
    }
  }
  return v;
}

// Whether the aligned vectors around a lane's vector lie wholly inside the row.
template <class T>
POLKA_DEVICE bool Interior(const RowSpan<const T>& row, int64_t column, uint32_t shift) {
  constexpr int64_t size = sizeof(T);
  const int64_t begin = column * size - shift;
  const int64_t end = begin + (shift == 0 ? 16 : 32);
  return begin >= 0 && end <= row.columns * size;
}

// One vector from global memory, where a loop cannot hold a tile in registers.
template <class T, class Context>
POLKA_DEVICE Vec LoadVector(Context& ctx, const RowSpan<const T>& row, int64_t column) {
  const uint32_t shift = row.Shift();
  if (!Interior(row, column, shift)) return LoadEdge(ctx, row, column);
  const char* from = reinterpret_cast<const char*>(row.data + column) - shift;
  if (shift == 0) return ctx.LoadVec(from);
  const Vec low = ctx.LoadVecPart(from, shift, 16), high = ctx.LoadVecPart(from + 16, 0, shift);
  return ShiftBytes(low, high, shift);
}

// One tile from global memory. Columns beyond the row are -inf.
template <class T, class Context>
POLKA_DEVICE void LoadTile(Context& ctx, const RowSpan<const T>& row, int64_t begin, TileVectors& tile) {
  const uint32_t shift = row.Shift();
  const int lane = ctx.Lane();
  if (shift == 0 && begin + kTileColumns<T> <= row.columns) {
#pragma unroll
    for (int i = 0; i < kVectorsPerLane; ++i) tile.v[i] = ctx.LoadVec(row.data + ColumnOf<T>(begin, i, lane));
    return;
  }
  int edge = -1;
#pragma unroll
  for (int i = 0; i < kVectorsPerLane; ++i) {
    const int64_t column = ColumnOf<T>(begin, i, lane);
    tile.v[i] = LowestVec<T>();
    if (Interior(row, column, shift)) {
      const char* from = reinterpret_cast<const char*>(row.data + column) - shift;
      if (shift == 0) {
        tile.v[i] = ctx.LoadVec(from);
      } else {
        const Vec low = ctx.LoadVecPart(from, shift, 16), high = ctx.LoadVecPart(from + 16, 0, shift);
        tile.v[i] = ShiftBytes(low, high, shift);
      }
    } else if (i > 0 && column < row.columns) {
      edge = i;
    }
  }
  // A lane meets at most one vector at the end of the row, and its first one at the start.
  if (ColumnOf<T>(begin, 0, lane) < row.columns && !Interior(row, ColumnOf<T>(begin, 0, lane), shift)) {
    tile.v[0] = LoadEdge(ctx, row, ColumnOf<T>(begin, 0, lane));
  }
  if (edge > 0) {
    const Vec last = LoadEdge(ctx, row, ColumnOf<T>(begin, edge, lane));
#pragma unroll
    for (int i = 1; i < kVectorsPerLane; ++i) {
      if (i == edge) tile.v[i] = last;
    }
  }
}

// The elements of `v`, which starts at byte `at` of the row, that lie in bytes [from, to), one by one.
template <class T, class Context>
POLKA_DEVICE void StoreEdge(Context& ctx, char* row, int64_t at, const Vec& v, int64_t from, int64_t to) {
  constexpr int size = static_cast<int>(sizeof(T));
#pragma unroll
  for (int e = 0; e < kPerVec<T>; ++e) {
    const int64_t place = at + e * size;
    if (place >= from && place < to) {
      T* p = reinterpret_cast<T*>(row + place);
      if constexpr (size == 4) {
        ctx.Store(p, BitCast<T>(ElementOf<T>(v, e)));
      } else {
        ctx.Store(p, T{static_cast<uint16_t>(ElementOf<T>(v, e))});
      }
    }
  }
}

// Writes one lane's part of a tile, vector after vector. An element of In becomes one of Out: a vector
// of In is kVectors vectors of Out, which lie next to each other.
template <class In, class Out, class Context>
class TileWriter {
 public:
  static constexpr int kVectors = static_cast<int>(sizeof(Out) / sizeof(In));

  POLKA_DEVICE TileWriter(Context& ctx, const RowSpan<Out>& row, int64_t begin)
      : ctx_(ctx), row_(reinterpret_cast<char*>(row.data)), begin_(begin * kSize), shift_(row.Shift()), carried_{} {
    const int64_t left = row.columns - begin;
    end_ = begin_ + (left < kTileColumns<In> ? left : kTileColumns<In>)*kSize;
  }

  // Gradients of the columns of the lane's vector i. Every lane of the warp calls it, in order of i.
  POLKA_DEVICE void Put(int i, const float (&value)[kPerVec<In>]) {
    Vec out[kVectors];
#pragma unroll
    for (int q = 0; q < kVectors; ++q) out[q] = Storage<Out>::Pack(value + q * kPerVec<Out>);
    const int64_t at = begin_ + (i * kWarpLanes + ctx_.Lane()) * (16 * kVectors);
    if (shift_ == 0) {
#pragma unroll
      for (int q = 0; q < kVectors; ++q) Write(at + 16 * q, out[q]);
      return;
    }
    // The vector before this one: the neighbour's, or for lane 0 the last lane's of the round before.
    const bool last_lane = ctx_.Lane() == kWarpLanes - 1;
    Vec before;
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const uint32_t word = last_lane ? carried_.word[w] : out[kVectors - 1].word[w];
      before.word[w] = ctx_.Shuffle(word, (ctx_.Lane() + kWarpLanes - 1) % kWarpLanes);
    }
#pragma unroll
    for (int q = 0; q < kVectors; ++q) {
      Write(at - shift_ + 16 * q, ShiftBytes(q == 0 ? before : out[q - 1], out[q], 16 - shift_));
    }
    if (last_lane && i == kVectorsPerLane - 1) {
      Write(at - shift_ + 16 * kVectors, ShiftBytes(out[kVectors - 1], out[kVectors - 1], 16 - shift_));
    }
    carried_ = out[kVectors - 1];
  }

 private:
  static constexpr int64_t kSize = sizeof(Out);

  POLKA_DEVICE void Write(int64_t at, const Vec& v) {
    if (at >= begin_ && at + 16 <= end_) {
      ctx_.StoreVec(row_ + at, v);
    } else if (at + 16 > begin_ && at < end_) {
      StoreEdge<Out>(ctx_, row_, at, v, begin_, end_);
    }
  }

  Context& ctx_;
  char* row_;
  int64_t begin_, end_;  // bytes of the row that the tile writes
  uint32_t shift_;
  Vec carried_;
};

// `fill` in columns [from, columns) of a row, by member `member` of `members` warps.
template <class T, class Context>
POLKA_DEVICE void FillColumns(Context& ctx, const RowSpan<T>& row, int64_t from, float fill, int member, int members) {
  float values[kPerVec<T>];
#pragma unroll
  for (int e = 0; e < kPerVec<T>; ++e) values[e] = fill;
  const Vec v = Storage<T>::Pack(values);
  char* data = reinterpret_cast<char*>(row.data);
  const int64_t begin = from * static_cast<int64_t>(sizeof(T)), end = row.columns * static_cast<int64_t>(sizeof(T));
  const int64_t step = static_cast<int64_t>(members) * kWarpLanes * 16;
  // Places of whole vectors, counted from the row's start; the first may begin before `begin`.
  const int64_t first = ((begin + row.Shift()) & ~int64_t{15}) - row.Shift();
  for (int64_t at = first + (member * kWarpLanes + ctx.Lane()) * 16; at < end; at += step) {
    if (at >= begin && at + 16 <= end) {
      ctx.StoreVec(data + at, v);
    } else {
      StoreEdge<T>(ctx, data, at, v, begin, end);
    }
  }
}

// ---- where rows lie -------------------------------------------------------------------------------

// Element of a matrix's row, its first column.
POLKA_DEVICE int64_t RowElement(const polka_matrix& m, int64_t row) {
  if (m.outer_rows == 1) return row * m.row_stride;
  const int64_t inner = m.rows / m.outer_rows;
  return (row / inner) * m.outer_stride + (row % inner) * m.row_stride;
}

template <class T>
POLKA_DEVICE RowSpan<T> RowOf(const polka_matrix& m, int64_t row, int64_t columns) {
  return {reinterpret_cast<T*>(m.data) + RowElement(m, row), columns};
}

}  // namespace polka::cuda
