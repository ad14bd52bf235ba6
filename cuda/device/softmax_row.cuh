// One row of logits, tile by tile: statistics forward, gradients backward. Shared by every operation
// that reads logits, so that all of them give the same bits.
//
// A warp takes a tile: it finds the tile's maximum, then sums exponentials relative to it, one ex2 a
// column. Statistics of all tiles go to shared memory, in every block of the cluster; after one
// barrier each warp merges them in tile order. Which warp took which tile leaves no trace.
#pragma once

#include "math.cuh"
#include "row.cuh"

namespace polka::cuda {

// The warps that work on one row together: one, all of a block, or all of a cluster of blocks.
struct Team {
  int32_t warps_per_row;  // in a block: 1, or all
  int32_t cluster;        // blocks per row

  template <class Context>
  POLKA_DEVICE int64_t Row(const Context& ctx) const {
    return warps_per_row == 1 ? ctx.Block() * ctx.Warps() + ctx.Warp() : ctx.Block() / cluster;
  }
  template <class Context>
  POLKA_DEVICE int Member(const Context& ctx) const {
    return warps_per_row == 1 ? 0 : (cluster == 1 ? 0 : ctx.ClusterRank() * warps_per_row) + ctx.Warp();
  }
  POLKA_DEVICE int Members() const { return warps_per_row * cluster; }

  // The first warp of the team, which writes what the row has one of.
  template <class Context>
  POLKA_DEVICE bool First(const Context& ctx) const {
    return Member(ctx) == 0;
  }

  // A cluster's blocks may write to each other once all of them run. Stands at the kernel's start; a
  // row that needs no exchange still comes to both halves of the barrier.
  template <class Context>
  POLKA_DEVICE void Start(Context& ctx) const {
    if (cluster > 1) ctx.ClusterArrive();
  }
  template <class Context>
  POLKA_DEVICE void Started(Context& ctx) const {
    if (cluster > 1) ctx.ClusterWait();
  }
  template <class Context>
  POLKA_DEVICE void Barrier(Context& ctx) const {
    if (warps_per_row == 1) {
      ctx.WarpBarrier();
    } else if (cluster == 1) {
      ctx.BlockBarrier();
    } else {
      ctx.ClusterArrive();
      ctx.ClusterWait();
    }
  }
};

// What a kernel needs to know of one row.
template <class T>
struct LogitsRow {
  RowSpan<const T> span;  // valid columns only
  const uint8_t* keep;    // or null
  float temperature;
  float log2e_over_t;
  float softcap;             // 0 = none
  float second_temperature;  // 0 = not wanted
  int64_t target;            // -1 = none
};

template <class T, class Context>
POLKA_DEVICE LogitsRow<T> LogitsRowOf(Context& ctx, const polka_matrix& m, const polka_softmax& s, int64_t row,
                                      int64_t target) {
  const int64_t columns = ctx.Columns(s.valid_vocab == 0 ? m.cols : s.valid_vocab);
  const float temperature =
      s.row_temperature == 0 ? s.temperature : ctx.Load(reinterpret_cast<const float*>(s.row_temperature) + row);
  const uint8_t* keep =
      s.keep_mask == 0 ? nullptr : reinterpret_cast<const uint8_t*>(s.keep_mask) + row * s.keep_mask_stride;
  return {RowOf<const T>(m, row, columns), keep, temperature, kLog2e / temperature, s.softcap, 0, target};
}

// An infinite logit is a mask (-inf) or a fault (+inf), not a large number: it stays infinite.
POLKA_DEVICE float Softcap(float z, float cap) { return isinf(z) ? z : cap * tanhf(z / cap); }

// The target's y, kept whatever the mask says.
template <class T, class Context>
POLKA_DEVICE float TargetLogit(Context& ctx, const LogitsRow<T>& row) {
  const float z = Storage<T>::One(ctx.Load(row.span.data + row.target));
  return row.softcap != 0 ? Softcap(z, row.softcap) : z;
}

// Where the target lies in a tile, seen by one lane: its vector and place, -1 where it is not here.
struct TargetPlace {
  int vector;
  int place;
  bool in_tile;
};

template <class T, class Context>
POLKA_DEVICE TargetPlace PlaceOf(const Context& ctx, int64_t target, int64_t begin) {
  const int64_t t = target - begin;
  if (target < 0 || t < 0 || t >= kTileColumns<T>) return {-1, -1, false};
  const int vector = static_cast<int>(t) / kPerVec<T>;
  const bool mine = vector % kWarpLanes == ctx.Lane();
  return {mine ? vector / kWarpLanes : -1, static_cast<int>(t) % kPerVec<T>, true};
}

// One bit per column of a vector: which of them count. Used where logits are softcapped or masked;
// elsewhere -inf in the vectors says the same for free. `target` is its place, -1 where it is not here.
template <class T, class Context>
POLKA_DEVICE uint32_t LiveVector(Context& ctx, const LogitsRow<T>& row, int64_t column, int target) {
  constexpr int per = kPerVec<T>;
  const int64_t left = row.span.columns - column;
  if (left <= 0) return 0;
  uint32_t bits = (1u << per) - 1;
  if (left < per) bits = (1u << left) - 1;
  if (row.keep != nullptr) bits &= static_cast<uint32_t>(ctx.Load(row.keep + column / 8)) >> (column % 8);
  return target >= 0 ? bits | (1u << target) : bits;
}

// The same for all vectors of a lane, one after the other.
template <class T, class Context>
POLKA_DEVICE uint64_t LiveColumns(Context& ctx, const LogitsRow<T>& row, int64_t begin, const TargetPlace& target) {
  uint64_t live = 0;
#pragma unroll
  for (int i = 0; i < kVectorsPerLane; ++i) {
    const uint32_t bits =
        LiveVector(ctx, row, ColumnOf<T>(begin, i, ctx.Lane()), target.vector == i ? target.place : -1);
    live |= static_cast<uint64_t>(bits) << (i * kPerVec<T>);
  }
  return live;
}

// y of one vector's columns. kGeneral: after softcap, -inf where not live.
template <bool kGeneral, class T>
POLKA_DEVICE void LogitsOf(const LogitsRow<T>& row, const Vec& v, uint64_t live, int i, float (&y)[kPerVec<T>]) {
  Storage<T>::Unpack(v, y);
  if constexpr (kGeneral) {
#pragma unroll
    for (int e = 0; e < kPerVec<T>; ++e) {
      if (row.softcap != 0) y[e] = Softcap(y[e], row.softcap);
      if (!((live >> (i * kPerVec<T> + e)) & 1u)) y[e] = -INFINITY;
    }
  }
}

template <class Context>
POLKA_DEVICE float WarpSum(Context& ctx, float x) {
#pragma unroll
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) x += ctx.ShuffleXor(x, mask);
  return x;
}

// The sum of four running sums, over the warp.
template <class Context>
POLKA_DEVICE float WarpSum(Context& ctx, const float (&sum)[4]) {
  return WarpSum(ctx, (sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// How much of the statistics a kernel computes.
enum class Level { kPlain, kEntropy, kAll };

// Floats of a tile's statistics in shared memory: max, rest, moment; then square, second and shape.
template <Level kLevel>
constexpr int kStatsWords = kLevel == Level::kPlain     ? 2
                            : kLevel == Level::kEntropy ? 3
                                                        : 10;

struct TileStats {
  SoftmaxStats stats;
  SoftmaxShape shape;
};

// Number of finite columns, their sum, the two largest. The sum is taken twice, the second time
// relative to the mean of the first, so that a common offset costs no digits.
template <class T, class Context>
POLKA_DEVICE SoftmaxShape ShapeOf(Context& ctx, const LogitsRow<T>& row, const TileVectors& tile, uint64_t live) {
  float count = 0, sum[4] = {0, 0, 0, 0};
  SoftmaxShape shape = EmptyShape();
#pragma unroll
  for (int i = 0; i < kVectorsPerLane; ++i) {
    float y[kPerVec<T>];
    LogitsOf<true>(row, tile.v[i], live, i, y);
#pragma unroll
    for (int e = 0; e < kPerVec<T>; ++e) {
      const bool finite = y[e] > -INFINITY;
      count += finite ? 1.0f : 0.0f;
      sum[e % 4] += finite ? y[e] : 0.0f;
      shape.top2 = fmaxf(shape.top2, fminf(shape.top1, y[e]));
      shape.top1 = fmaxf(shape.top1, y[e]);
    }
  }
#pragma unroll
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) {
    const float first = ctx.ShuffleXor(shape.top1, mask), second = ctx.ShuffleXor(shape.top2, mask);
    shape.top2 = fmaxf(fminf(shape.top1, first), fmaxf(shape.top2, second));
    shape.top1 = fmaxf(shape.top1, first);
  }
  shape.finite = WarpSum(ctx, count);
  const float total = WarpSum(ctx, sum);
  shape.shift = shape.finite == 0 ? 0 : total / shape.finite;
  float rest[4] = {0, 0, 0, 0};
#pragma unroll
  for (int i = 0; i < kVectorsPerLane; ++i) {
    float y[kPerVec<T>];
    LogitsOf<true>(row, tile.v[i], live, i, y);
#pragma unroll
    for (int e = 0; e < kPerVec<T>; ++e) rest[e % 4] += y[e] > -INFINITY ? y[e] - shape.shift : 0.0f;
  }
  shape.finite_sum = WarpSum(ctx, rest);
  return shape;
}

// Statistics of the tile of columns that starts at `begin`; every lane gets them. The target counts
// for the maximum and the shape, and is left out of the sums.
template <Level kLevel, bool kGeneral, class T, class Context>
POLKA_DEVICE TileStats ComputeTile(Context& ctx, const LogitsRow<T>& row, int64_t begin, TileVectors& tile,
                                   const SoftmaxWants& wants) {
  constexpr int per = kPerVec<T>;
  const TargetPlace target = PlaceOf<T>(ctx, row.target, begin);
  uint64_t live = kGeneral ? LiveColumns<T>(ctx, row, begin, target) : 0;

  float max = -INFINITY;
  if constexpr (kGeneral) {
#pragma unroll
    for (int i = 0; i < kVectorsPerLane; ++i) {
      float y[per];
      LogitsOf<true>(row, tile.v[i], live, i, y);
#pragma unroll
      for (int e = 0; e < per; ++e) max = fmaxf(max, y[e]);
    }
  } else {
    Vec most = LowestVec<T>();
#pragma unroll
    for (int i = 0; i < kVectorsPerLane; ++i) {
#pragma unroll
      for (int w = 0; w < 4; ++w) most.word[w] = Storage<T>::Max(most.word[w], tile.v[i].word[w]);
    }
    float y[per];
    Storage<T>::Unpack(most, y);
#pragma unroll
    for (int e = 0; e < per; ++e) max = fmaxf(max, y[e]);
  }
  max = ctx.WarpMax(max);

  TileStats result = {EmptyStats(), EmptyShape()};
  if constexpr (kLevel == Level::kAll) {
    if (wants.shape) result.shape = ShapeOf(ctx, row, tile, live);
  }
  // The target out of the sums, once for the tile.
  if (target.in_tile) {
#pragma unroll
    for (int i = 0; i < kVectorsPerLane; ++i) {
      if (i != target.vector) continue;
      if (kGeneral) {
        live &= ~(uint64_t{1} << (i * per + target.place));
      } else {
        tile.v[i] = WithElement<T>(tile.v[i], target.place, Storage<T>::kLowest >> (sizeof(T) == 4 ? 0 : 16));
      }
    }
  }

  // With nothing finite in the tile, sums are 0, or NaN where it holds a NaN.
  const float base = max == -INFINITY ? 0 : max;
  const Exponent exponent(base, row.log2e_over_t);
  float rest[4] = {0, 0, 0, 0}, moment[4] = {0, 0, 0, 0}, square[2] = {0, 0}, second[2] = {0, 0};
  const bool wants_second = kLevel == Level::kAll && row.second_temperature != 0;
  const Exponent other(base, wants_second ? kLog2e / row.second_temperature : 0);
#pragma unroll
  for (int i = 0; i < kVectorsPerLane; ++i) {
    float y[per];
    LogitsOf<kGeneral>(row, tile.v[i], live, i, y);
#pragma unroll
    for (int e = 0; e < per; ++e) {
      const float x2 = exponent(y[e]);
      const float p = Exp2(x2);
      rest[e % 4] += p;
      // p is 0 below -200, and 0 * -inf must be 0 too.
      if (kLevel != Level::kPlain) moment[e % 4] = fmaf(p, fmaxf(x2, -200.0f), moment[e % 4]);
      if (kLevel == Level::kAll) {
        square[e % 2] = fmaf(p, p, square[e % 2]);
        if (wants_second) second[e % 2] += Exp2(other(y[e]));
      }
    }
  }
  const float c = exp2f(-exponent.delta);
  const float sum = WarpSum(ctx, rest);
  result.stats.max = max;
  result.stats.rest = c * sum;
  if (kLevel != Level::kPlain) {
    result.stats.moment = c * kLn2 * fmaf(-exponent.delta, sum, WarpSum(ctx, moment));
  }
  if (kLevel == Level::kAll) {
    result.stats.square = c * c * WarpSum(ctx, square[0] + square[1]);
    if (wants_second) result.stats.second = exp2f(-other.delta) * WarpSum(ctx, second[0] + second[1]);
  }
  return result;
}

// Places for the statistics of a row's tiles: word w of tile t at [w * tiles + t], in each block.
struct StatsTable {
  Shared<float> words;
  int tiles;
};

// Puts a tile's statistics where the whole team sees them after its next barrier.
template <Level kLevel, class Context>
POLKA_DEVICE void PutTile(Context& ctx, const Team& team, const StatsTable& table, int tile, const TileStats& t) {
  const float words[10] = {t.stats.max,    t.stats.rest,       t.stats.moment, t.stats.square, t.stats.second,
                           t.shape.finite, t.shape.finite_sum, t.shape.shift,  t.shape.top1,   t.shape.top2};
  const int lane = ctx.Lane();
  if (team.cluster == 1) {
    float mine = words[0];
#pragma unroll
    for (int w = 1; w < kStatsWords<kLevel>; ++w) mine = lane == w ? words[w] : mine;
    if (lane < kStatsWords<kLevel>) ctx.Write(table.words + (lane * table.tiles + tile), mine);
  } else if (lane < team.cluster) {
#pragma unroll
    for (int w = 0; w < kStatsWords<kLevel>; ++w) {
      ctx.WriteRemote(table.words + (w * table.tiles + tile), lane, words[w]);
    }
  }
}

// Statistics of the whole row, in every lane of every warp of the team, after its barrier. Lane l
// takes the l-th run of consecutive tiles; the lanes meet in one fixed tree.
template <Level kLevel, class Context>
POLKA_DEVICE TileStats MergeTiles(Context& ctx, const StatsTable& table, float temperature, float second_temperature) {
  const int run = (table.tiles + kWarpLanes - 1) / kWarpLanes;
  const int begin = ctx.Lane() * run;
  const int end = begin + run < table.tiles ? begin + run : table.tiles;
  float max = -INFINITY;
  for (int t = begin; t < end; ++t) max = fmaxf(max, ctx.Read(table.words + t));
  max = ctx.WarpMax(max);

  const float inv_temperature = 1 / temperature;
  const float inv_second = second_temperature == 0 ? 0 : 1 / second_temperature;
  TileStats total = {EmptyStats(), EmptyShape()};
  for (int t = begin; t < end; ++t) {
    float word[10];
#pragma unroll
    for (int w = 0; w < kStatsWords<kLevel>; ++w) word[w] = ctx.Read(table.words + (w * table.tiles + t));
    SoftmaxStats s = EmptyStats();
    s.max = word[0];
    s.rest = word[1];
    if (kLevel != Level::kPlain) s.moment = word[2];
    if (kLevel == Level::kAll) {
      s.square = word[3];
      s.second = word[4];
      total.shape = Merge(total.shape, SoftmaxShape{word[5], word[6], word[7], word[8], word[9]});
    }
    s = Rescale(s, max, inv_temperature, inv_second);
    total.stats.rest += s.rest;
    if (kLevel != Level::kPlain) total.stats.moment += s.moment;
    if (kLevel == Level::kAll) {
      total.stats.square += s.square;
      total.stats.second += s.second;
    }
  }
  total.stats.max = max;
  total.stats.rest = WarpSum(ctx, total.stats.rest);
  if (kLevel != Level::kPlain) total.stats.moment = WarpSum(ctx, total.stats.moment);
  if (kLevel == Level::kAll) {
    total.stats.square = WarpSum(ctx, total.stats.square);
    total.stats.second = WarpSum(ctx, total.stats.second);
#pragma unroll
    for (int mask = 1; mask < kWarpLanes; mask *= 2) {
      const SoftmaxShape& mine = total.shape;
      const SoftmaxShape other = {ctx.ShuffleXor(mine.finite, mask), ctx.ShuffleXor(mine.finite_sum, mask),
                                  ctx.ShuffleXor(mine.shift, mask), ctx.ShuffleXor(mine.top1, mask),
                                  ctx.ShuffleXor(mine.top2, mask)};
      total.shape = (ctx.Lane() & mask) == 0 ? Merge(mine, other) : Merge(other, mine);
    }
  }
  return total;
}

// Writes the gradient of one tile. kGeneral: with a softcap, a keep-mask or a self-certainty part;
// kSlope: with an entropy part. The target's column is `target_gradient`, where it lies in the tile
// and has_target holds.
template <bool kGeneral, bool kSlope, class T, class Out, class Context>
POLKA_DEVICE void WriteGradientTile(Context& ctx, const LogitsRow<T>& row, int64_t begin, const TileVectors& tile,
                                    const Exponent& exponent, const SoftmaxGradient& g, bool has_target,
                                    float target_gradient, const RowSpan<Out>& out) {
  constexpr int per = kPerVec<T>;
  const TargetPlace target = PlaceOf<T>(ctx, row.target, begin);
  const uint64_t live = kGeneral ? LiveColumns<T>(ctx, row, begin, target) : 0;
  TileWriter<T, Out, Context> writer(ctx, out, begin);
#pragma unroll
  for (int i = 0; i < kVectorsPerLane; ++i) {
    float y[per], d[per];
    LogitsOf<kGeneral>(row, tile.v[i], live, i, y);
#pragma unroll
    for (int e = 0; e < per; ++e) {
      const float x2 = exponent(y[e]);
      const float p = Exp2(x2);
      d[e] = kSlope ? GradientElement(p, fmaxf(x2, -200.0f), g.constant, g.slope) : p * g.constant;
      if constexpr (kGeneral) {
        const bool finite = y[e] > -INFINITY;
        d[e] += finite ? g.uniform : 0.0f;
        if (row.softcap != 0) {
          const float t = y[e] / row.softcap;
          d[e] = finite || y[e] != y[e] ? d[e] * fmaf(-t, t, 1.0f) : 0.0f;
        }
      }
    }
    if (has_target && target.vector == i) {
#pragma unroll
      for (int e = 0; e < per; ++e) {
        if (e == target.place) d[e] = target_gradient;
      }
    }
    writer.Put(i, d);
  }
}

}  // namespace polka::cuda
