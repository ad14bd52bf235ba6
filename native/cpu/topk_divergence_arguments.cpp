#include "topk_divergence_arguments.h"

#include <math.h>

#include <algorithm>

#include "divergence_arguments.h"
#include "status.h"

namespace polka {
namespace {

// Every unmasked row's columns lie in the vocabulary, and no two are the same.
polka_status CheckIds(const polka_topk_divergence_args& a) {
  const int64_t vocabulary = ValidVocab(a.softmax, a.student);
  TopkEntry entries[POLKA_TOPK_MAX];
  for (int64_t r = 0; r < a.student.rows; ++r) {
    if (Masked(a.mask, r)) continue;
    SortEntries(a, r, entries);
    const int64_t lowest = entries[0].column, highest = entries[a.entries - 1].column;
    if (lowest < 0 || highest >= vocabulary) {
      return Fail(POLKA_OUT_OF_RANGE, "teacher_ids: row %lld has %lld, the vocabulary is [0, %lld)",
                  static_cast<long long>(r), static_cast<long long>(lowest < 0 ? lowest : highest),
                  static_cast<long long>(vocabulary));
    }
    for (int64_t k = 1; k < a.entries; ++k) {
      if (entries[k].column == entries[k - 1].column) {
        return Fail(POLKA_OUT_OF_RANGE, "teacher_ids: row %lld has %lld twice", static_cast<long long>(r),
                    static_cast<long long>(entries[k].column));
      }
    }
  }
  return POLKA_OK;
}

}  // namespace

void SortEntries(const polka_topk_divergence_args& a, int64_t row, TopkEntry* entries) {
  for (int64_t k = 0; k < a.entries; ++k) entries[k] = {TeacherId(a, row, k), k};
  std::sort(entries, entries + a.entries, [](const TopkEntry& x, const TopkEntry& y) { return x.column < y.column; });
}

polka_status CheckTopkDivergence(const polka_topk_divergence_args* a) {
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "topk_divergence"));
  POLKA_TRY(CheckExec(a->exec));
  POLKA_TRY(CheckMatrix(a->student, "student"));
  POLKA_TRY(CheckSoftmax(a->softmax, a->student, "softmax"));
  if (a->entries < 1 || a->entries > POLKA_TOPK_MAX) {
    return Fail(POLKA_INVALID_ARGUMENT, "entries: %lld is not between 1 and %d", static_cast<long long>(a->entries),
                POLKA_TOPK_MAX);
  }
  if (a->ids_dtype != POLKA_I64 && a->ids_dtype != POLKA_I32) {
    return Fail(POLKA_INVALID_ARGUMENT, "ids_dtype: %d is neither int64 nor int32", a->ids_dtype);
  }
  int64_t count;
  if (__builtin_mul_overflow(a->student.rows, a->entries, &count)) {
    return Fail(POLKA_INVALID_ARGUMENT, "entries: %lld of %lld rows are too many", static_cast<long long>(a->entries),
                static_cast<long long>(a->student.rows));
  }
  POLKA_TRY(CheckArray(a->teacher_ids, count, a->ids_dtype == POLKA_I64 ? 8 : 4, "teacher_ids"));
  POLKA_TRY(CheckArray(a->teacher_log_prob, count, 4, "teacher_log_prob"));
  POLKA_TRY(CheckDivergenceKind(a->kind, a->beta, a->alpha));
  POLKA_TRY(CheckOption(a->tail, POLKA_TAIL_RENORMALIZED, "tail"));
  if (!(a->divisor >= 0) || !isfinite(a->divisor)) {
    return Fail(POLKA_INVALID_ARGUMENT, "divisor: %g is not finite and >= 0", a->divisor);
  }
  if (a->d_student.data != 0) POLKA_TRY(CheckGradient(a->student, a->d_student, a->gradient_scale, "d_student"));
  POLKA_TRY(CheckRowTemperatures(a->softmax, {0, a->mask, 0, POLKA_I64, 0}, a->student.rows, "softmax"));
  return CheckIds(*a);
}

}  // namespace polka
