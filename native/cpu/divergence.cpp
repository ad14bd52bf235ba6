// divergence: student and teacher logits [rows, vocabulary] -> one value per row, the loss, and the
// gradient for the student.
//
// Each row is read once from memory (2 V s bytes, 3 V s with a reference) for both rows' statistics;
// the value and the gradient then read it again from the cache, because every kind is summed from the
// normalised log-probs of both sides: the forms that need no second look cancel where the two agree.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "divergence.cpp"
#include "hwy/foreach_target.h"

#include "cuda_backend.h"
#include "dispatch.h"
#include "divergence_arguments.h"
#include "parallel.h"
#include "simd/divergence_row-inl.h"
#include "status.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

// What is kept of one row between the steps when its tiles are shared out among threads.
struct TilePartial {
  TileStats student, teacher;
  DivergenceTotals sums;
};

// A row without its statistics.
RowPair RowOf(const polka_divergence_args& a, int64_t r) {
  const SoftmaxRow teacher = MakeSoftmaxRow(a.teacher, a.teacher_softmax, r, -1);
  SoftmaxRow reference = {};
  if (HasReference(a)) reference = MakeSoftmaxRow(a.reference, a.teacher_softmax, r, -1);
  return {
      {MakeSoftmaxRow(a.student, a.student_softmax, r, -1), {}},
      MakeTeacherRow(teacher, HasReference(a) ? &reference : nullptr, a.lambda, a.teacher_form == POLKA_LOG_WEIGHTS),
      a.kind,
      a.beta,
      a.alpha};
}

void PutRow(const polka_divergence_args& a, int64_t r, const SoftmaxOutputs& student, const SoftmaxOutputs& teacher,
            float value) {
  const auto put = [r](uint64_t address, float v) {
    if (address != 0) reinterpret_cast<float*>(address)[r] = v;
  };
  put(a.value, value);
  put(a.student_entropy, student.entropy);
  put(a.student_lse, student.lse);
  put(a.teacher_lse, teacher.lse);
}

float ValueOf(const polka_divergence_args& a, const DivergenceTotals& sums) {
  return static_cast<float>(DivergenceValue(a.kind, static_cast<double>(a.beta), static_cast<double>(a.alpha), sums,
                                            a.teacher_form == POLKA_LOG_WEIGHTS));
}

// An infinite divergence has no gradient: 0, as for a target at -inf.
bool HasGradient(const polka_divergence_args& a, const DivergenceTotals& sums) {
  return a.divisor != 0 && sums.value != static_cast<double>(INFINITY);
}

void WriteTile(const polka_divergence_args& a, const RowPair& pair, const DivergenceTotals& sums, int64_t r,
               int64_t index) {
  const float row_weight = a.row_weight == 0 ? 1 : reinterpret_cast<const float*>(a.row_weight)[r];
  const float weight =
      static_cast<float>(row_weight * static_cast<double>(GradientScale(a.gradient_scale)) / a.divisor);
  GradientTile(pair, sums, weight, index, RowAddress(a.d_student, r), a.d_student.dtype);
}

void DivergenceRow(const polka_divergence_args& a, int64_t r, float* values) {
  RowPair pair = RowOf(a, r);
  const int64_t tiles = TileCount(pair.student.row.columns);
  pair.student.out = ForwardRow(pair.student.row, {a.student_entropy != 0, false, false});
  TileStats teacher = EmptyTile();
  for (int64_t i = 0; i < tiles; ++i) teacher = MergeTiles(pair.teacher.row, teacher, ComputeTile(pair.teacher, i));
  Finish(pair.teacher, teacher);
  DivergenceTotals sums = {};
  for (int64_t i = 0; i < tiles; ++i) sums = sums + SumTile(pair, i);
  values[r] = ValueOf(a, sums);
  PutRow(a, r, pair.student.out, pair.teacher.out, values[r]);
  if (a.d_student.data == 0) return;
  if (!HasGradient(a, sums)) return ZeroRow(a.d_student, r, 0);
  for (int64_t i = 0; i < tiles; ++i) WriteTile(a, pair, sums, r, i);
  ZeroRow(a.d_student, r, pair.student.row.columns);
}

void DivergenceByTile(const polka_divergence_args& a, int32_t threads, float* values, TilePartial* partial) {
  const SoftmaxWants student_wants = {a.student_entropy != 0, false, false};
  const int64_t tiles = TileCount(ValidVocab(a.student_softmax, a.student));
  const int64_t items = a.student.rows * tiles;
  const auto finished = [&](int64_t r) {
    RowPair pair = RowOf(a, r);
    TileStats s = EmptyTile(), t = EmptyTile();
    for (int64_t i = 0; i < tiles; ++i) {
      s = MergeTiles(pair.student.row, s, partial[r * tiles + i].student);
      t = MergeTiles(pair.teacher.row, t, partial[r * tiles + i].teacher);
    }
    pair.student.out = FinishRow(pair.student.row, s, student_wants);
    Finish(pair.teacher, t);
    return pair;
  };
  auto statistics = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (Masked(a.mask, i / tiles)) continue;
      const RowPair pair = RowOf(a, i / tiles);
      partial[i].student = ComputeTile(pair.student.row, i % tiles, student_wants);
      partial[i].teacher = ComputeTile(pair.teacher, i % tiles);
    }
  };
  ParallelFor(threads, items, 1, statistics);
  auto value = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (!Masked(a.mask, i / tiles)) partial[i].sums = SumTile(finished(i / tiles), i % tiles);
    }
  };
  ParallelFor(threads, items, 1, value);
  const auto sums_of = [&](int64_t r) {
    DivergenceTotals sums = {};
    for (int64_t i = 0; i < tiles; ++i) sums = sums + partial[r * tiles + i].sums;
    return sums;
  };
  for (int64_t r = 0; r < a.student.rows; ++r) {
    if (Masked(a.mask, r)) continue;
    const RowPair pair = finished(r);
    values[r] = ValueOf(a, sums_of(r));
    PutRow(a, r, pair.student.out, pair.teacher.out, values[r]);
  }
  if (a.d_student.data == 0) return;
  auto gradient = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / tiles, tile = i % tiles;
      if (Masked(a.mask, r)) continue;
      const DivergenceTotals sums = sums_of(r);
      const bool written = HasGradient(a, sums);
      if (written) WriteTile(a, finished(r), sums, r, tile);
      if (tile == 0) ZeroRow(a.d_student, r, written ? ValidVocab(a.student_softmax, a.student) : 0);
    }
  };
  ParallelFor(threads, items, 1, gradient);
}

void Divergence(polka_divergence_args& a, int32_t threads, float* values, void* partial) {
  a.exec.ran_target = kThisTarget;
  for (int64_t r = 0; r < a.student.rows; ++r) {
    if (!Masked(a.mask, r)) continue;
    values[r] = 0;
    PutRow(a, r, {}, {}, 0);
    if (a.d_student.data != 0) ZeroRow(a.d_student, r, 0);
  }
  if (partial != nullptr) return DivergenceByTile(a, threads, values, static_cast<TilePartial*>(partial));
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (!Masked(a.mask, r)) DivergenceRow(a, r, values);
    }
  };
  ParallelFor(threads, a.student.rows, RowsPerChunk(2 * a.student.cols * DtypeBytes(a.student.dtype)), rows);
}

int64_t TilePartialBytes() { return sizeof(TilePartial); }

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

constexpr Kernel<void (*)(polka_divergence_args&, int32_t, float*, void*)> kDivergence = {
    N_SSE4::Divergence, N_AVX2::Divergence, N_AVX3::Divergence};

struct Plan {
  int32_t threads;
  int64_t values;   // bytes of the values' own place in the workspace, 0 where the output serves
  int64_t partial;  // bytes of tile partials, 0 where rows are shared out
};

Plan PlanDivergence(const polka_divergence_args& a) {
  const int64_t tiles = TileCount(ValidVocab(a.student_softmax, a.student));
  const int64_t bytes = a.student.rows * a.student.cols *
                        (2 * DtypeBytes(a.student.dtype) + (HasReference(a) ? 2 : 1) * DtypeBytes(a.teacher.dtype));
  const int32_t threads = ThreadsFor(a.exec, bytes);
  const bool by_tile = threads > 1 && tiles > 1 && a.student.rows < 4 * threads;
  return {threads, a.value == 0 ? (a.student.rows * 4 + 63) / 64 * 64 : 0,
          by_tile ? a.student.rows * tiles * N_SSE4::TilePartialBytes() : 0};
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_divergence_workspace(polka_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckDivergence(args));
  polka_divergence_args a = OnCommonColumns(*args);
  if (!OnCpu(a.exec)) {
    const polka_status status = kCudaBackend.divergence_workspace(&a);
    args->exec = a.exec;
    return status;
  }
  const Plan plan = PlanDivergence(a);
  args->exec.workspace_needed = plan.values + plan.partial;
  return POLKA_OK;
}

extern "C" polka_status polka_divergence(polka_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckDivergence(args));
  args->exec.ran_target = POLKA_TARGET_NONE;
  polka_divergence_args a = OnCommonColumns(*args);
  if (!OnCpu(a.exec)) {
    const polka_status status = kCudaBackend.divergence(&a);
    args->exec = a.exec;
    return status;
  }
  const polka_targets masked = {0, args->mask, 0, POLKA_I64, 0};
  POLKA_TRY(CheckRowTemperatures(args->student_softmax, masked, args->student.rows, "student_softmax"));
  POLKA_TRY(CheckRowTemperatures(args->teacher_softmax, masked, args->student.rows, "teacher_softmax"));
  const Plan plan = PlanDivergence(a);
  POLKA_TRY(CheckWorkspace(args->exec, plan.values + plan.partial));
  double* loss = reinterpret_cast<double*>(args->loss);
  if (loss != nullptr) *loss = 0;
  const int64_t rows = args->student.rows;
  if (rows == 0) return POLKA_OK;
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  char* workspace = reinterpret_cast<char*>(args->exec.workspace);
  float* values = reinterpret_cast<float*>(args->value != 0 ? args->value : args->exec.workspace);
  kDivergence.For(target)(a, plan.threads, values, plan.partial == 0 ? nullptr : workspace + plan.values);
  args->exec.ran_target = a.exec.ran_target;
  if (loss == nullptr || args->divisor == 0) return POLKA_OK;
  const float* weight = reinterpret_cast<const float*>(args->row_weight);
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (!Masked(args->mask, r)) sum += (weight == nullptr ? 1.0 : weight[r]) * values[r];
  }
  *loss = sum / args->divisor;
  return POLKA_OK;
}
#endif  // HWY_ONCE
