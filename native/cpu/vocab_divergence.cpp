// vocab_divergence: a divergence between student and teacher logits whose columns are split over
// ranks. With both sides' merged statistics each shard sums its own columns in the forms that keep
// their digits where the sides agree; the merge adds 32 bytes a row and shard in the shards' order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vocab_divergence.cpp"
#include "hwy/foreach_target.h"

#include "dispatch.h"
#include "divergence_arguments.h"
#include "parallel.h"
#include "simd/divergence_row-inl.h"
#include "status.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

// The shard's columns of a row, under the statistics of the whole row.
RowPair ShardPair(const polka_vocab_divergence_args& a, int64_t r) {
  const auto at = [r](uint64_t address) { return reinterpret_cast<const float*>(address)[r]; };
  RowPair pair = {{MakeSoftmaxRow(a.student, a.student_softmax, r, -1), {}},
                  MakeTeacherRow(MakeSoftmaxRow(a.teacher, a.teacher_softmax, r, -1), nullptr, 1, false),
                  a.kind,
                  a.beta,
                  a.alpha};
  pair.student.out.max = at(a.student_max);
  pair.student.out.log_sum = at(a.student_log_sum);
  pair.teacher.out.max = at(a.teacher_max);
  pair.teacher.out.log_sum = at(a.teacher_log_sum);
  return pair;
}

void VocabTotals(polka_vocab_divergence_args& a, int32_t threads) {
  a.exec.ran_target = kThisTarget;
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      DivergenceTotals sums = {};
      if (!Masked(a.mask, r)) {
        const RowPair pair = ShardPair(a, r);
        for (int64_t i = 0; i < TileCount(pair.student.row.columns); ++i) sums = sums + SumTile(pair, i);
      }
      reinterpret_cast<DivergenceTotals*>(a.totals)[r] = sums;
    }
  };
  ParallelFor(threads, a.student.rows, RowsPerChunk(2 * a.student.cols * DtypeBytes(a.student.dtype)), rows);
}

void VocabGradient(polka_vocab_divergence_args& a, int32_t threads) {
  a.exec.ran_target = kThisTarget;
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const DivergenceTotals sums = reinterpret_cast<const DivergenceTotals*>(a.merged)[r];
      // An infinite divergence has no gradient.
      if (Masked(a.mask, r) || a.divisor == 0 || sums.value == static_cast<double>(INFINITY)) {
        ZeroRow(a.d_student, r, 0);
        continue;
      }
      const RowPair pair = ShardPair(a, r);
      const float row_weight = a.row_weight == 0 ? 1 : reinterpret_cast<const float*>(a.row_weight)[r];
      const float weight =
          static_cast<float>(row_weight * static_cast<double>(GradientScale(a.gradient_scale)) / a.divisor);
      for (int64_t i = 0; i < TileCount(pair.student.row.columns); ++i) {
        GradientTile(pair, sums, weight, i, RowAddress(a.d_student, r), a.d_student.dtype);
      }
      ZeroRow(a.d_student, r, pair.student.row.columns);
    }
  };
  ParallelFor(threads, a.student.rows, RowsPerChunk(2 * a.student.cols * DtypeBytes(a.student.dtype)), rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

#include "number.inl"
#include "divergence.inl"

static_assert(sizeof(DivergenceTotals) == POLKA_SHARD_TOTALS * sizeof(double), "the totals are what is gathered");

constexpr Kernel<void (*)(polka_vocab_divergence_args&, int32_t)> kTotals = {N_SSE4::VocabTotals, N_AVX2::VocabTotals,
                                                                             N_AVX3::VocabTotals};
constexpr Kernel<void (*)(polka_vocab_divergence_args&, int32_t)> kGradient = {
    N_SSE4::VocabGradient, N_AVX2::VocabGradient, N_AVX3::VocabGradient};

polka_status CheckCall(const polka_vocab_divergence_args* a) {
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "vocab_divergence"));
  POLKA_TRY(CheckExec(a->exec));
  POLKA_TRY(CheckMatrix(a->student, "student"));
  POLKA_TRY(CheckDivergenceKind(a->kind, a->beta, a->alpha));
  if (!(a->divisor >= 0) || !isfinite(a->divisor)) {
    return Fail(POLKA_INVALID_ARGUMENT, "divisor: %g is not finite and >= 0", a->divisor);
  }
  return POLKA_OK;
}

polka_status CheckShards(const polka_vocab_divergence_args* a) {
  POLKA_TRY(CheckCall(a));
  POLKA_TRY(CheckMatrix(a->teacher, "teacher"));
  POLKA_TRY(CheckSoftmax(a->student_softmax, a->student, "student_softmax"));
  POLKA_TRY(CheckSoftmax(a->teacher_softmax, a->teacher, "teacher_softmax"));
  const int64_t rows = a->student.rows, columns = ValidVocab(a->student_softmax, a->student);
  const int64_t own = ValidVocab(a->teacher_softmax, a->teacher);
  if (a->teacher.rows != rows || own != columns) {
    return Fail(POLKA_INVALID_ARGUMENT, "teacher: [%lld, %lld], the student's shard is [%lld, %lld]",
                static_cast<long long>(a->teacher.rows), static_cast<long long>(own), static_cast<long long>(rows),
                static_cast<long long>(columns));
  }
  POLKA_TRY(CheckArray(a->student_max, rows, 4, "student_max"));
  POLKA_TRY(CheckArray(a->student_log_sum, rows, 4, "student_log_sum"));
  POLKA_TRY(CheckArray(a->teacher_max, rows, 4, "teacher_max"));
  return CheckArray(a->teacher_log_sum, rows, 4, "teacher_log_sum");
}

int32_t ThreadsOf(const polka_vocab_divergence_args& a) {
  return ThreadsFor(a.exec, a.student.rows * a.student.cols * 2 * DtypeBytes(a.student.dtype));
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_vocab_divergence_totals(polka_vocab_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckShards(args));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckArray(args->totals, args->student.rows * POLKA_SHARD_TOTALS, 8, "totals"));
  if (args->student.rows == 0) return POLKA_OK;
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  kTotals.For(target)(*args, ThreadsOf(*args));
  return POLKA_OK;
}

extern "C" polka_status polka_vocab_divergence_merge(polka_vocab_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckCall(args));
  const polka_vocab_divergence_args& a = *args;
  args->exec.ran_target = POLKA_TARGET_NONE;
  const int64_t rows = a.student.rows;
  int64_t count;
  if (a.shards < 1 || __builtin_mul_overflow(rows * POLKA_SHARD_TOTALS, a.shards, &count)) {
    return Fail(POLKA_INVALID_ARGUMENT, "shards: %lld is not at least 1, or too many",
                static_cast<long long>(a.shards));
  }
  POLKA_TRY(CheckArray(a.totals, count, 8, "totals"));
  POLKA_TRY(CheckArray(a.merged, rows * POLKA_SHARD_TOTALS, 8, "merged"));
  const float* weight = reinterpret_cast<const float*>(a.row_weight);
  double loss = 0;
  for (int64_t r = 0; r < rows; ++r) {
    DivergenceTotals sums = {};
    for (int64_t s = 0; s < a.shards; ++s) {
      sums = sums + reinterpret_cast<const DivergenceTotals*>(a.totals)[s * rows + r];
    }
    reinterpret_cast<DivergenceTotals*>(a.merged)[r] = sums;
    const bool masked = Masked(a.mask, r);
    const float value = masked ? 0
                               : static_cast<float>(DivergenceValue(a.kind, static_cast<double>(a.beta),
                                                                    static_cast<double>(a.alpha), sums, false));
    if (a.value != 0) reinterpret_cast<float*>(a.value)[r] = value;
    if (!masked) loss += (weight == nullptr ? 1 : static_cast<double>(weight[r])) * static_cast<double>(value);
  }
  if (a.loss != 0) *reinterpret_cast<double*>(a.loss) = a.divisor == 0 ? 0 : loss / a.divisor;
  return POLKA_OK;
}

extern "C" polka_status polka_vocab_divergence_backward(polka_vocab_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckShards(args));
  const polka_vocab_divergence_args& a = *args;
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckArray(a.merged, a.student.rows * POLKA_SHARD_TOTALS, 8, "merged"));
  POLKA_TRY(CheckGradient(a.student, a.d_student, a.gradient_scale, "d_student"));
  POLKA_TRY(CheckDisjoint(a.teacher, a.d_student, "d_student", "the teacher"));
  if (a.student.rows == 0) return POLKA_OK;
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  kGradient.For(target)(*args, ThreadsOf(a));
  return POLKA_OK;
}
#endif  // HWY_ONCE
