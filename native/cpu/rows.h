// Where a row lies, which column it aims at, and whether it counts.
#pragma once

#include <stdint.h>
#include <string.h>

#include "polka.h"

namespace polka {

inline int64_t DtypeBytes(int32_t dtype) {
  switch (dtype) {
    case POLKA_BF16:
    case POLKA_F16:
      return 2;
    case POLKA_F64:
    case POLKA_I64:
      return 8;
    default:
      return 4;
  }
}

// Address of a row of any dtype.
inline uint64_t RowAddress(const polka_matrix& m, int64_t row) {
  const int64_t inner = m.rows / m.outer_rows;
  const int64_t element = (row / inner) * m.outer_stride + (row % inner) * m.row_stride;
  return m.data + static_cast<uint64_t>(element) * static_cast<uint64_t>(DtypeBytes(m.dtype));
}

inline int64_t ValidVocab(const polka_softmax& s, const polka_matrix& logits) {
  return s.valid_vocab == 0 ? logits.cols : s.valid_vocab;
}

inline float Temperature(const polka_softmax& s, int64_t row) {
  return s.row_temperature == 0 ? s.temperature : reinterpret_cast<const float*>(s.row_temperature)[row];
}

// Its reciprocal is finite then.
inline bool IsTemperature(float t) { return t >= 0x1p-126f && t <= 0x1.fffffep127f; }

// The row's keep bits, or null.
inline const uint8_t* KeepMask(const polka_softmax& s, int64_t row) {
  return s.keep_mask == 0 ? nullptr : reinterpret_cast<const uint8_t*>(s.keep_mask) + row * s.keep_mask_stride;
}

inline int64_t Target(const polka_targets& t, int64_t row) {
  return t.dtype == POLKA_I64 ? reinterpret_cast<const int64_t*>(t.data)[row]
                              : reinterpret_cast<const int32_t*>(t.data)[row];
}

inline bool Masked(uint64_t mask, int64_t row) { return mask != 0 && reinterpret_cast<const uint8_t*>(mask)[row] == 0; }

inline bool Skipped(const polka_targets& t, int64_t row) {
  return Masked(t.mask, row) || Target(t, row) == t.ignore_index;
}

// Columns [from, cols) of a row become 0, whatever the dtype.
inline void ZeroRow(const polka_matrix& m, int64_t row, int64_t from) {
  const int64_t bytes = DtypeBytes(m.dtype);
  memset(reinterpret_cast<char*>(RowAddress(m, row)) + from * bytes, 0, static_cast<size_t>((m.cols - from) * bytes));
}

inline float GradientScale(float gradient_scale) { return gradient_scale == 0 ? 1 : gradient_scale; }

}  // namespace polka
