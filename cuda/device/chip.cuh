// A row that stays on the chip: tiles copied into shared memory while others are summed, and read
// again from there for the gradient, so that each byte crosses the memory bus once in and once out.
//
// A tile's slot holds the aligned vectors around it, at the row's own misalignment. A warp copies and
// reads only its own tiles: it waits for its copies, and for its other lanes where the row is not
// aligned, but for no other warp.
#pragma once

#include "row.cuh"

namespace polka::cuda {

constexpr int kSlotBytes = kTileBytes + 16;
constexpr int kSlotVectors = kSlotBytes / 16;

// Starts the copies of one tile. The first and the last vector of the row, where it shares them with
// a neighbour, come element by element.
template <class T, class Context>
POLKA_DEVICE void CopyTile(Context& ctx, const RowSpan<const T>& row, int64_t begin, Shared<Vec> slot) {
  constexpr int64_t size = sizeof(T);
  const int64_t shift = row.Shift();
  const int64_t left = row.columns - begin;
  const int64_t columns = left < kTileColumns<T> ? left : kTileColumns<T>;
  const int vectors = static_cast<int>((shift + columns * size + 15) / 16);
  const char* data = reinterpret_cast<const char*>(row.data);
  // Place of the slot's first vector, in bytes from column 0.
  const int64_t first = begin * size - shift;
#pragma unroll 1
  for (int v = ctx.Lane(); v < vectors; v += kWarpLanes) {
    const int64_t at = first + 16 * v;
    if (at >= 0 && at + 16 <= row.columns * size) {
      ctx.CopyAsync(slot + v, data + at);
      continue;
    }
#pragma unroll 1
    for (int64_t b = at < 0 ? 0 : at; b < at + 16 && b < row.columns * size; b += size) {
      const Shared<T> to = {slot.offset + static_cast<uint32_t>(b - first)};
      ctx.Write(to, ctx.Load(reinterpret_cast<const T*>(data + b)));
    }
  }
  ctx.CommitCopies();
}

// Until at most `pending` of the newest tiles are on their way; beyond 7, until 7 are.
template <class Context>
POLKA_DEVICE void WaitForTiles(Context& ctx, int pending) {
  switch (pending) {
    case 0:
      return ctx.template WaitForCopies<0>();
    case 1:
      return ctx.template WaitForCopies<1>();
    case 2:
      return ctx.template WaitForCopies<2>();
    case 3:
      return ctx.template WaitForCopies<3>();
    case 4:
      return ctx.template WaitForCopies<4>();
    case 5:
      return ctx.template WaitForCopies<5>();
    case 6:
      return ctx.template WaitForCopies<6>();
    default:
      return ctx.template WaitForCopies<7>();
  }
}

// The lane's vector i of a landed tile. Columns beyond the row are -inf.
template <class T, class Context>
POLKA_DEVICE Vec ReadVector(Context& ctx, const RowSpan<const T>& row, int64_t begin, Shared<Vec> slot, int i) {
  constexpr int per = kPerVec<T>;
  const uint32_t shift = row.Shift();
  const int64_t left = row.columns - ColumnOf<T>(begin, i, ctx.Lane());
  if (left <= 0) return LowestVec<T>();
  const Shared<Vec> from = slot + (i * kWarpLanes + ctx.Lane());
  const int count = left < per ? static_cast<int>(left) : per;
  const uint32_t end = shift + static_cast<uint32_t>(count) * static_cast<uint32_t>(sizeof(T));
  Vec v = ctx.ReadVecPart(from, shift, end < 16 ? end : 16);
  if (shift != 0) {
    Vec high = {};
    if (end > 16) high = ctx.ReadVecPart(from + 1, 0, end - 16);
    v = ShiftBytes(v, high, shift);
  }
  if (count < per) {
#pragma unroll
    for (int e = 0; e < per; ++e) {
      if (e >= count) v = WithElement<T>(v, e, Storage<T>::kLowest >> (sizeof(T) == 4 ? 0 : 16));
    }
  }
  return v;
}

template <class T, class Context>
POLKA_DEVICE void ReadTile(Context& ctx, const RowSpan<const T>& row, int64_t begin, Shared<Vec> slot,
                           TileVectors& tile) {
#pragma unroll
  for (int i = 0; i < kVectorsPerLane; ++i) tile.v[i] = ReadVector(ctx, row, begin, slot, i);
}

}  // namespace polka::cuda
