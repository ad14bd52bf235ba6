// What a kernel needs to know of one row of logits, and what it finds.
#pragma once

#include <stdint.h>

#include "polka.h"
#include "rows.h"

namespace polka {

// Columns of a tile: 16 KB as f32, so that its second pass reads the first-level cache. A constant,
// because the tiles decide the order of the sums.
constexpr int64_t kTileColumns = 4096;

struct SoftmaxRow {
  uint64_t address;
  int32_t dtype;
  float temperature;
  float softcap;             // 0 = none
  float second_temperature;  // 0 = not wanted
  int64_t columns;           // valid ones
  int64_t target;            // -1 = none
  const uint8_t* keep;       // or null
};

inline SoftmaxRow MakeSoftmaxRow(const polka_matrix& logits, const polka_softmax& softmax, int64_t row,
                                 int64_t target) {
  return {RowAddress(logits, row),     logits.dtype, Temperature(softmax, row), softmax.softcap, 0,
          ValidVocab(softmax, logits), target,       KeepMask(softmax, row)};
}

inline int64_t TileCount(int64_t columns) { return (columns + kTileColumns - 1) / kTileColumns; }

// A row's upstream gradients and what the forward pass saved.
struct SoftmaxUpstream {
  float max, log_sum, entropy, finite;
  float d_log_prob, d_entropy, d_self_certainty;
  float scale;  // gradient scale, without the 1 / T of the chain rule
};

}  // namespace polka
