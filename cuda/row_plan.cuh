// How rows are shared out: to warps, blocks or clusters of blocks, with what they hold on the chip.
// Tables of every kernel that reads logits. They decide speed alone: the bits are the same.
#pragma once

#include "device/chip.cuh"
#include "device/launch.cuh"
#include "device/softmax_row.cuh"

namespace polka::cuda {

// Threads of a block: 8 warps, of which two or three blocks fit an SM with their tiles in registers.
constexpr int kRowThreads = 256;
constexpr int kRowWarps = kRowThreads / kWarpLanes;
// From the arithmetic of the memory system, not yet measured: up to this many tiles one warp keeps up
// with a row, and a block barrier would cost more than it gains.
constexpr int64_t kTilesPerWarpRow = 2;
// Tables of statistics must fit the shared memory that every launch may use.
constexpr int64_t kMaxTiles = 1024;
// The status word counts no further.
constexpr int64_t kMaxRows = int64_t{1} << 28;

struct RowPlan {
  Team team;
  LaunchConfig launch;
};

// Plan of a kernel that keeps nothing of a row but `words` floats of statistics a tile.
inline RowPlan PlanRows(int64_t rows, int64_t tiles, int words, const DeviceLimits& limits) {
  const int table = static_cast<int>(tiles) * words * 4;
  if (tiles <= kTilesPerWarpRow) {
    return {{1, 1}, {(rows + kRowWarps - 1) / kRowWarps, kRowThreads, 1, table * kRowWarps}};
  }
  // Few rows: more blocks for each, as long as every warp has a tile.
  int cluster = 1;
  while (cluster < limits.max_cluster && rows * cluster * 2 <= limits.processors && tiles >= 2 * cluster * kRowWarps) {
    cluster *= 2;
  }
  return {{kRowWarps, cluster}, {rows * cluster, kRowThreads, cluster, table}};
}

struct ChipPlan {
  RowPlan rows;
  bool on_chip;
};

// Blocks of an SM that should fit at once, so that one loads while another computes and a third
// writes. From the arithmetic of shared memory, not yet measured.
constexpr int kBlocksThatOverlap = 2;

// Plan of a kernel that holds `operands` rows of `tiles` tiles in shared memory, with `words` floats of
// statistics a tile: the fewest blocks per row whose slots leave room for a second block on the SM;
// else all the device allows; else off the chip. Depends on the vocabulary and the device only.
inline ChipPlan PlanOnChip(int64_t rows, int64_t tiles, int words, int operands, const DeviceLimits& limits) {
  const int table = static_cast<int>(tiles) * words * 4;
  if (tiles <= kTilesPerWarpRow) {
    const int bytes = (static_cast<int>(tiles) * operands * kSlotBytes + table) * kRowWarps;
    return {{{1, 1}, {(rows + kRowWarps - 1) / kRowWarps, kRowThreads, 1, bytes}}, bytes <= limits.shared_per_block};
  }
  // The system keeps 1 KB of each block.
  const int64_t roomy = limits.shared_per_sm / kBlocksThatOverlap - 1024;
  for (int cluster = 1; cluster <= limits.max_cluster; cluster *= 2) {
    const int64_t per_warp = (tiles + cluster * kRowWarps - 1) / (cluster * kRowWarps);
    const int64_t bytes = per_warp * kRowWarps * operands * kSlotBytes + table;
    const bool last = cluster * 2 > limits.max_cluster && cluster > 1;
    if (bytes <= (last ? limits.shared_per_block : roomy) && bytes <= limits.shared_per_block) {
      return {{{kRowWarps, cluster}, {rows * cluster, kRowThreads, cluster, static_cast<int>(bytes)}}, true};
    }
  }
  return {PlanRows(rows, tiles, words, limits), false};
}

}  // namespace polka::cuda
