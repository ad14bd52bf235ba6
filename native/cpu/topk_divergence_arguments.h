// The teacher's entries of a row, and the checks of a call.
#pragma once

#include "polka.h"
#include "rows.h"

namespace polka {

struct TopkEntry {
  int64_t column;
  int64_t place;  // among the row's entries as the teacher gave them
};

inline int64_t TeacherId(const polka_topk_divergence_args& a, int64_t row, int64_t place) {
  const int64_t i = row * a.entries + place;
  return a.ids_dtype == POLKA_I64 ? reinterpret_cast<const int64_t*>(a.teacher_ids)[i]
                                  : reinterpret_cast<const int32_t*>(a.teacher_ids)[i];
}

// The row's entries in the order of their columns.
void SortEntries(const polka_topk_divergence_args& a, int64_t row, TopkEntry* entries);

polka_status CheckTopkDivergence(const polka_topk_divergence_args* a);

}  // namespace polka
